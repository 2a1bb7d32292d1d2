/** `gateway trace` beside a daemon and real packets: what it prints, its filters, its end, and that of who watches. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Limit, readTraceControl, tracedPacketLayout } from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { encodeBatchRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { CLIENT_IPV4, GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { TraceEvent } from '../../src/gateway/ports.ts';
import { until } from '../e2e/until.ts';
import { GATEWAY } from '../gateway/support/command.ts';

const BOUND_MS = 60_000;
const FEED = 'sessions:feed';

let stage: Stage;
let redis: Redis;
let key: Key;
let other: Key;
let udp: Socket;
const watchers: ChildProcess[] = [];

beforeAll(async () => {
  stage = new Stage({ name: `sgwtr-${process.pid}`, capacity: 1_000 });
  [key, other] = stage.writeKeys([randomKey(1), randomKey(2)]) as [Key, Key];
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  const backend = JSON.stringify({ id: 1, address: '10.1.0.1:80' });
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', backend);
  await redis.fcall('session_set', 2, 'sess:held', FEED, 'held', 'app-1', 3_600_000);
  await stage.startGateway();
  udp = createSocket('udp4');
  udp.on('message', () => undefined);
  await new Promise<void>((resolve) => udp.bind(0, CLIENT_IPV4, resolve));
});
afterEach(async () => {
  for (const watcher of watchers.splice(0)) watcher.kill('SIGKILL');
});
afterAll(async () => {
  udp?.close();
  redis?.disconnect();
  await stage?.close();
});

interface Watching {
  readonly process: ChildProcess;
  readonly lines: readonly string[];
  readonly errors: () => string;
  readonly ended: Promise<number | null>;
}

function trace(...args: string[]): Watching {
  const child = spawn(GATEWAY, ['trace', '-c', stage.configFile, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  watchers.push(child);
  const lines: string[] = [];
  let rest = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { process: child, lines, errors: () => errors, ended };
}

const send = (payload: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) =>
    udp.send(payload, stage.port, GATEWAY_IPV4, (error) => (error ? reject(error) : resolve())),
  );
const lookup = (by: Key, sid: string, timeMs = Date.now()): Uint8Array =>
  encodeLookupRequest(by, cookieHash(sid), timeMs, randomBytes(8)).bytes;
const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
};
const eventsOf = ({ lines }: Watching): TraceEvent[] =>
  lines.map((line) => JSON.parse(line) as TraceEvent).filter((event) => 'verdict' in event);

/** Sends packets until one of them is shown: the watcher is at work then. What it shows of them is of no interest. */
async function isShown(watching: Watching, payload: () => Uint8Array): Promise<void> {
  await until(async () => {
    await send(payload());
    return watching.lines.some((line) => line.startsWith('{')) || watching.lines.length > 1;
  }, BOUND_MS);
}

test('each kind of packet is shown, with what it says and what became of it', async () => {
  const watching = trace('--json');
  await isShown(watching, () => new Uint8Array(5));
  const deny = cookieHash('revoked');
  await redis.fcall('session_deny', 2, 'gateway:denied', FEED, Buffer.from(deny).toString('hex'), Date.now() + 600_000);
  const hash = Buffer.from(cookieHash('held').subarray(0, 4)).toString('hex');
  const cases: [Uint8Array, Partial<TraceEvent>][] = [
    [lookup(key, 'held').subarray(0, 70), { verdict: 'DROP_LENGTH', keyId: 1, op: 'LOOKUP' }],
    [changed(lookup(key, 'held'), 0, 1), { verdict: 'DROP_MAGIC', keyId: null, op: null, hash: null }],
    [changed(lookup(key, 'held'), 3, 77), { verdict: 'DROP_TYPE', op: '77' }],
    [changed(lookup(key, 'held'), 70, 1), { verdict: 'DROP_RESERVED' }],
    [changed(lookup(key, 'held'), 4, 0xff), { verdict: 'DROP_KEY_UNKNOWN', keyId: 0xff00_0001 }],
    [changed(lookup(key, 'held'), 24, cookieHash('held')[0] === 0 ? 1 : 0), { verdict: 'DROP_GUARD' }],
    [lookup(other, 'held'), { verdict: 'REPLY_FOUND', keyId: 2, op: 'LOOKUP', hash, entries: null }],
    [lookup(key, 'nobody'), { verdict: 'REPLY_PLACED' }],
    [lookup(key, 'held', Date.now() - 120_000), { verdict: 'REPLY_CLOCK_SKEW' }],
    [
      encodeBatchRequest(key, [cookieHash('held'), cookieHash('x')], Date.now(), randomBytes(8)).bytes,
      { verdict: 'REPLY_FOUND', op: 'BATCH', entries: 2, hash },
    ],
  ];
  const before = Date.now();
  for (const [payload] of cases) await send(payload);
  const shown = (): TraceEvent[] =>
    eventsOf(watching).filter(({ keyId, verdict }) => keyId !== null || verdict === 'DROP_MAGIC');
  await until(async () => shown().length >= cases.length, BOUND_MS);
  expect(shown()).toMatchObject(cases.map(([, event]) => event));
  for (const { source, sourcePort, tookNs, timeMs } of shown()) {
    expect([source, sourcePort]).toEqual([CLIENT_IPV4, udp.address().port]);
    expect(tookNs).toBeGreaterThan(0);
    expect(Math.abs(timeMs - before)).toBeLessThan(BOUND_MS);
  }
  await until(async () => {
    await send(lookup(key, 'revoked'));
    return shown().some(({ verdict }) => verdict === 'REPLY_DENIED');
  }, BOUND_MS);
});

test('for people, filtered, and over after so many', async () => {
  const watching = trace('--verdict', 'reply', '--key', '2', '--source', `${CLIENT_IPV4}/24`, '--count', '3');
  await until(async () => {
    await send(lookup(key, 'held'));
    await send(new Uint8Array(5));
    await send(lookup(other, 'held'));
    return watching.lines.length >= 4;
  }, BOUND_MS);
  expect(await watching.ended).toBe(0);
  const [heading, ...lines] = watching.lines;
  expect(heading).toMatch(/^TIME +FROM +KEY +ASKS +HASH +VERDICT +TOOK$/);
  expect(lines).toHaveLength(3);
  for (const line of lines) {
    expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} +10\.99\.0\.1:\d+ +2 +LOOKUP +[0-9a-f]{8} +REPLY_FOUND +[\d,]+ ns$/);
  }
});

test('over after a time, with nothing to show', async () => {
  const watching = trace('--source', '192.0.2.1', '--for', '300ms', '--json');
  expect([await watching.ended, watching.lines, watching.errors()]).toEqual([0, [], '']);
});

test('a second one is refused; when the first is killed, the next may watch', async () => {
  const first = trace('--json');
  await isShown(first, () => new Uint8Array(5));
  const second = trace('--json');
  expect(await second.ended).toBe(1);
  expect(second.errors()).toMatch(/^gateway: DAEMON_REFUSED: the gateway refused \(TRACE_BUSY\)/);
  first.process.kill('SIGKILL');
  await first.ended;
  await until(async () => {
    const third = trace('--for', '50ms', '--json');
    return (await third.ended) === 0;
  }, BOUND_MS);
});

test.each([
  [['--verdict', 'lost'], 2, /--verdict.*Allowed: PASS_OTHER/s],
  [['--sample', '2/3'], 2, /Allowed: 1\/N/],
  [['--source', 'nowhere'], 1, /source: found "nowhere"; allowed: an IP address/],
])('%j is refused', async (args, status, message) => {
  const watching = trace(...args);
  expect(await watching.ended).toBe(status);
  expect(watching.errors()).toMatch(message);
});

/** The words of map `trace_control` of the program that is attached, as the kernel has them. */
function control(): { untilMs: number; lost: number } {
  const asked = (...args: string[]) =>
    JSON.parse(
      execFileSync(
        'nsenter',
        [`--net=/run/netns/${stage.network.gatewayNamespace}`, '/usr/sbin/bpftool', '-j', ...args],
        {
          encoding: 'utf8',
        },
      ),
    );
  const [{ xdp }] = asked('net', 'list', 'dev', stage.network.gatewayInterface) as [{ xdp: { id: number }[] }];
  const { map_ids: ids } = asked('prog', 'show', 'id', String(xdp[0]?.id)) as { map_ids: number[] };
  const id = ids.find((map) => asked('map', 'show', 'id', String(map)).name === 'trace_control');
  const [{ value }] = asked('map', 'dump', 'id', String(id)) as [{ value: string[] }];
  const bytes = Buffer.from(value.map((byte) => Number(byte)));
  const { untilMs, lost } = readTraceControl(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  return { untilMs: Number(untilMs), lost: Number(lost) };
}

test('a daemon that is killed while somebody watches: the program stops by itself', async () => {
  const watching = trace('--json');
  await isShown(watching, () => new Uint8Array(5));
  await stage.stopGateway('SIGKILL');
  expect(await watching.ended).toBe(1);
  expect(watching.errors()).toMatch(/DAEMON_ANSWER_INVALID/);
  const { untilMs, lost } = control();
  expect(untilMs).toBeGreaterThan(0);
  await until(async () => Number(process.hrtime.bigint()) / 1e6 > untilMs + 20, BOUND_MS);
  // More than the ring has room for, and nobody reads: had it not stopped, some would be lost.
  for (let i = 0; i < 3_000; i++) await send(new Uint8Array(5));
  expect(control()).toEqual({ untilMs, lost });
  await stage.startGateway();
  const { packets } = (await stage.status()) as { packets: Record<string, number> };
  expect(packets['DROP_LENGTH']).toBeGreaterThan(Limit.TRACE_BYTES / tracedPacketLayout.size);
});
