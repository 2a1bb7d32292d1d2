/** One connection of HAProxy, over a real socket: what is answered, and what is refused with which status. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Value } from '../../../src/gateway/spoe/bytes.ts';
import { Connection, type Variables } from '../../../src/gateway/spoe/connection.ts';
import { SpopError } from '../../../src/gateway/spoe/errors.ts';
import { FRAME_SIZE_MAX, readArguments, readFrame, readHello } from '../../../src/gateway/spoe/frames.ts';
import { Splitter } from '../../../src/gateway/spoe/splitter.ts';
import { until } from '../../e2e/until.ts';
import { type AgentFrame, agentFrames, frame, hello, helloWithout, notify, typed } from './haproxy.ts';

const WAIT_MS = 60_000;
const echo = async (found: ReadonlyMap<string, Value>): Promise<Variables> => [
  ['status', 'FOUND'],
  ['backend', 7],
  ['address', String(found.get('cookie'))],
];

let server: Server;
let answer: (found: ReadonlyMap<string, Value>) => Promise<Variables> = echo;
let helloTimeoutMs = WAIT_MS;
const refused: string[] = [];
let last: Connection | undefined;

beforeAll(async () => {
  server = createServer((socket) => {
    last = new Connection(socket, {
      answer: (found) => answer(found),
      refused: (problem) => refused.push(problem),
      helloTimeoutMs,
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(() => {
  answer = echo;
  helloTimeoutMs = WAIT_MS;
  refused.length = 0;
});

afterAll(() => {
  server.close();
});

class Haproxy {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  /** What came in one piece. */
  readonly chunks: Buffer[] = [];

  constructor() {
    this.socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => this.chunks.push(chunk));
    this.socket.on('error', () => undefined);
    this.closed = once(this.socket, 'close');
  }

  get frames(): AgentFrame[] {
    return agentFrames(Buffer.concat(this.chunks));
  }

  async until(count: number): Promise<AgentFrame[]> {
    await until(async () => this.frames.length >= count, WAIT_MS);
    return this.frames;
  }

  /** Sends, and waits for the end. */
  async ended(...sent: Buffer[]): Promise<AgentFrame[]> {
    this.socket.write(Buffer.concat(sent));
    await this.closed;
    return this.frames;
  }
}

describe('a conversation', () => {
  test('greets in one piece, and answers each request by its numbers', async () => {
    const haproxy = new Haproxy();
    haproxy.socket.write(hello());
    expect(await haproxy.until(1)).toEqual([
      {
        type: 101,
        streamId: 0n,
        frameId: 0n,
        values: { version: '2.0', 'max-frame-size': 16_380n, capabilities: 'pipelining' },
      },
    ]);
    expect(haproxy.chunks).toHaveLength(1);
    const ids = [1n, 239n, 240n, 2287n, 2288n, 264_431n, 264_432n, 2n ** 40n, 2n ** 53n + 1n, 2n ** 64n - 1n];
    for (const id of ids) haproxy.socket.write(notify(id, { cookie: `user ${id}` }, { frameId: id }));
    const [, ...acks] = await haproxy.until(1 + ids.length);
    expect(acks).toEqual(
      ids.map((id) => ({
        type: 103,
        streamId: id,
        frameId: id,
        values: { status: 'FOUND', backend: 7n, address: `user ${id}` },
      })),
    );
    expect(await haproxy.ended(frame(2, []))).toHaveLength(2 + ids.length);
    expect(haproxy.frames.at(-1)).toMatchObject({ type: 102, values: { 'status-code': 0n } });
    expect(refused).toEqual([]);
  });

  test('is the same, wherever the bytes are torn', async () => {
    const haproxy = new Haproxy();
    haproxy.socket.setNoDelay(true);
    for (const byte of Buffer.concat([hello(), notify(1, { cookie: 'a' }), notify(2, { cookie: 'b' })])) {
      await new Promise((resolve) => haproxy.socket.write(Buffer.of(byte), resolve));
    }
    const frames = await haproxy.until(3);
    expect(frames.map(({ type, streamId }) => [type, streamId])).toEqual([
      [101, 0n],
      [103, 1n],
      [103, 2n],
    ]);
    haproxy.socket.destroy();
  });

  test('answers in the order in which answers are found, and one that fails with nothing', async () => {
    const waiting = new Map<Value | undefined, PromiseWithResolvers<Variables>>();
    answer = (found) => {
      const pending = Promise.withResolvers<Variables>();
      waiting.set(found.get('cookie'), pending);
      return pending.promise;
    };
    const haproxy = new Haproxy();
    haproxy.socket.write(Buffer.concat([hello(), ...['a', 'b', 'c'].map((cookie, i) => notify(i, { cookie }))]));
    await until(async () => waiting.size === 3, WAIT_MS);
    waiting.get('c')?.resolve([['status', 'FOUND']]);
    await haproxy.until(2);
    waiting.get('a')?.reject(new Error('broken'));
    await haproxy.until(3);
    waiting.get('b')?.resolve([]);
    expect((await haproxy.until(4)).map(({ streamId, values }) => [streamId, values])).toEqual([
      [0n, expect.anything()],
      [2n, { status: 'FOUND' }],
      [0n, {}],
      [1n, {}],
    ]);
    haproxy.socket.destroy();
  });

  test('reads over values that it doesn’t need, messages and frames that it doesn’t know', async () => {
    const seen: ReadonlyMap<string, Value>[] = [];
    answer = async (found) => {
      seen.push(found);
      return [];
    };
    const haproxy = new Haproxy();
    const ip = { raw: [6, 127, 0, 0, 1] };
    const ipv6 = { raw: [7, ...Array(16).fill(1)] };
    const negative = { raw: [4, ...[255, 255, 255, 255, 255, 255, 255, 255, 255, 0]] };
    const values = { a: ip, b: ipv6, c: negative, d: true, e: false, f: { raw: [9, 1, 0xff] }, g: null, h: 300 };
    haproxy.socket.write(Buffer.concat([hello(), frame(77, [1, 2, 3]), notify(1, { ...values, cookie: 'x' })]));
    await haproxy.until(2);
    expect(seen[0]?.get('cookie')).toBe('x');
    expect([seen[0]?.get('d'), seen[0]?.get('e'), seen[0]?.get('g'), seen[0]?.get('h')]).toEqual([
      true,
      false,
      null,
      300,
    ]);
    haproxy.socket.destroy();
  });

  test('ends after a health check, and when the agent stops', async () => {
    const check = new Haproxy();
    expect((await check.ended(hello({ healthcheck: true }))).map(({ type }) => type)).toEqual([101]);
    const haproxy = new Haproxy();
    haproxy.socket.write(hello());
    await haproxy.until(1);
    last?.end();
    await haproxy.closed;
    expect(haproxy.frames.at(-1)).toMatchObject({ type: 102, values: { 'status-code': 0n } });
  });

  test('takes the smaller frame size of the two', async () => {
    const haproxy = new Haproxy();
    haproxy.socket.write(hello({ 'max-frame-size': 256, capabilities: '' }));
    expect((await haproxy.until(1))[0]?.values).toMatchObject({ 'max-frame-size': 256n, capabilities: '' });
    expect((await haproxy.ended(notify(1, { cookie: 'x'.repeat(300) }))).at(-1)?.values).toMatchObject({
      'status-code': 3n,
    });
  });

  test('reads no more than so many requests before they are answered', async () => {
    const waiting: PromiseWithResolvers<Variables>[] = [];
    answer = () => {
      const pending = Promise.withResolvers<Variables>();
      waiting.push(pending);
      return pending.promise;
    };
    const haproxy = new Haproxy();
    const requests = 5_000;
    haproxy.socket.write(hello());
    const one = notify(1, { cookie: 'x'.repeat(100) });
    const sent = new Promise((resolve) => haproxy.socket.write(Buffer.concat(Array(requests).fill(one)), resolve));
    await until(async () => waiting.length >= 256, WAIT_MS);
    // Other connections are served meanwhile, which shows that there was time to read more of this one.
    for (let i = 0; i < 20; i++) {
      const other = new Haproxy();
      await other.ended(hello({ healthcheck: true }));
    }
    // What came in one chunk of 64 KiB has been taken.
    expect(waiting.length).toBeLessThan(256 + 65_536 / one.length);
    answer = echo;
    for (const pending of waiting.splice(0)) pending.resolve([]);
    await sent;
    await until(async () => haproxy.frames.length === 1 + requests, WAIT_MS);
    haproxy.socket.destroy();
  });
});

describe('what is refused, and why', () => {
  const cases: [string, number, Buffer[]][] = [
    ['a request before the hello', 4, [notify(1, { cookie: 'x' })]],
    ['another hello', 4, [hello(), hello()]],
    ['a hello without versions', 5, [helloWithout('supported-versions')]],
    ['a hello without a frame size', 6, [helloWithout('max-frame-size')]],
    ['a hello without capabilities', 7, [helloWithout('capabilities')]],
    ['version 1', 8, [hello({ 'supported-versions': '1.0, 1.5' })]],
    ['a frame size that is too small', 9, [hello({ 'max-frame-size': 255 })]],
    ['a version that is a number', 5, [hello({ 'supported-versions': 2 })]],
    ['a part of a payload', 10, [hello(), notify(1, { cookie: 'x' }, { flags: 0 })]],
    ['the last part of a payload', 10, [hello(), frame(0, [])]],
    ['a frame that is too big', 3, [Buffer.of(0, 0, 0x40, 0, 1)]],
    ['a frame of 4 GiB', 3, [hello(), Buffer.of(0xff, 0xff, 0xff, 0xff)]],
    ['a frame that is too small', 4, [Buffer.of(0, 0, 0, 6, 1, 0, 0, 0, 1, 0)]],
    ['an empty frame', 4, [hello(), Buffer.of(0, 0, 0, 0)]],
    ['a value of an unknown type', 4, [hello(), notify(1, { cookie: { raw: [10] } })]],
    ['a string beyond the end', 4, [hello(), notify(1, { cookie: { raw: [8, 5, 65] } })]],
    ['a string of 2^60 bytes', 4, [hello(), notify(1, { cookie: { raw: [8, ...Array(9).fill(255), 15] } })]],
    ['a number without an end', 4, [hello(), notify(1, { cookie: { raw: [3, ...Array(20).fill(255)] } })]],
    ['fewer arguments than said', 4, [hello(), frame(3, [1, 65, 9])]],
    ['an address beyond the end', 4, [hello(), notify(1, { cookie: { raw: [7, 1] } })]],
  ];
  test.each(cases)('%s', async (_, status, sent) => {
    const frames = await new Haproxy().ended(...sent);
    expect(frames.at(-1)).toMatchObject({ type: 102, streamId: 0n, values: { 'status-code': BigInt(status) } });
    expect(refused).toHaveLength(1);
  });

  test('no hello in time', async () => {
    helloTimeoutMs = 1;
    expect((await new Haproxy().ended()).at(-1)).toMatchObject({ type: 102, values: { 'status-code': 2n } });
  });

  test('torn anywhere and cut, it harms nobody', async () => {
    const whole = Buffer.concat([hello(), notify(1, { cookie: 'x' })]);
    await Promise.all(
      Array.from({ length: whole.length }, async (_, length) => {
        const haproxy = new Haproxy();
        haproxy.socket.end(whole.subarray(0, length));
        await haproxy.closed;
      }),
    );
    const haproxy = new Haproxy();
    haproxy.socket.write(whole);
    await haproxy.until(2);
    haproxy.socket.destroy();
  });
});

describe('fuzzed', () => {
  const good = Buffer.concat([hello(), notify(300, { cookie: 's%3Aabc.def', n: 70_000, none: null }), frame(2, [])]);

  /** All that reads what HAProxy sends, without a socket. */
  function read(bytes: Buffer): void {
    for (const one of new Splitter().push(bytes, () => FRAME_SIZE_MAX)) {
      const { type, payload } = readFrame(one);
      if (type === 1) readHello(payload);
      else readArguments(payload);
    }
  }

  test('bytes of any kind are read, or refused with a status', () => {
    const framed = fc.uint8Array({ maxLength: 200 }).map((bytes) => frame(3, [...bytes]));
    const changed = fc
      .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      });
    const any = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(framed, changed, any), (bytes) => {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof SpopError)) throw error;
        }
      }),
      { numRuns: 20_000 },
    );
  });

  test('each bit flipped on a real connection: it ends or answers, and the next one is served', async () => {
    for (let from = 0; from < 8 * good.length; from += 100) {
      await Promise.all(
        Array.from({ length: Math.min(100, 8 * good.length - from) }, async (_, i) => {
          const bytes = Buffer.from(good);
          const at = (from + i) >> 3;
          bytes[at] = (bytes[at] ?? 0) ^ (1 << ((from + i) & 7));
          const haproxy = new Haproxy();
          haproxy.socket.end(bytes);
          await haproxy.closed;
          // Whatever came is whole frames that HAProxy can read.
          for (const { type } of haproxy.frames) expect([101, 102, 103]).toContain(type);
        }),
      );
    }
    const haproxy = new Haproxy();
    expect((await haproxy.ended(good)).map(({ type }) => type).slice(0, 1)).toEqual([101]);
  });

  test('values are written as HAProxy reads them', async () => {
    const { write, Reader } = await import('../../../src/gateway/spoe/bytes.ts');
    fc.assert(
      fc.property(fc.oneof(fc.nat(0x7fff_ffff), fc.nat(5_000)), (value) => {
        expect([...write.value(value)]).toEqual(typed(value));
        expect(new Reader(write.value(value)).value()).toBe(value);
      }),
      { numRuns: 2_000 },
    );
  });
});
