/** Users are moved over real packets, by the commands an operator has; each answer is compared with what the backends say. */
import { request } from 'node:http';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { cookieHash } from '../../src/auth/cookie.ts';
import { slotOf } from '../../src/auth/placement.ts';
import { createLookupClient, type LookupClient, type LookupResult } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { BackendViews } from '../../src/gateway/ports.ts';
import { type Placeable, PresentAnswers, ringOf } from '../../src/gateway/present-answers.ts';
import { until } from './until.ts';

const SESSIONS = 2_000;
const BACKENDS = 4;
const IN_FLIGHT = 50;
const FEED = 'sessions:feed';
const WAIT_MS = 60_000;

let stage: Stage;
let redis: Redis;
let client: LookupClient;

const sidOf = (i: number) => `user ${i}`;
const storedOn = (i: number) => 1 + (i % BACKENDS);
const users = Array.from({ length: SESSIONS }, (_, i) => i);

async function store(sid: string, backend: string, ttlMs = 3_600_000): Promise<void> {
  await redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, backend, ttlMs);
}

beforeAll(async () => {
  stage = new Stage({ name: `sgw-mu-${process.pid}` });
  const [key] = stage.writeKeys([randomKey(1)]);
  if (key === undefined) throw new Error('no key');
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await run('redis', 'install');
  for (let id = 1; id <= BACKENDS; id++) {
    const entry = JSON.stringify({ id, address: `10.1.0.${id}:8080` });
    await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, `app-${id}`, entry);
  }
  await Promise.all(users.map((i) => store(sidOf(i), `app-${storedOn(i)}`)));
  await stage.startGateway();
  client = createLookupClient({ servers: [{ host: GATEWAY_IPV4, port: stage.port }], key, timeoutMs: 2_000 });
});

afterAll(async () => {
  await client?.close();
  redis?.disconnect();
  await stage?.close();
});

/** Everyone is where they were. */
afterEach(async () => {
  for (let id = 1; id <= BACKENDS; id++) {
    const active = JSON.stringify({ state: 'active', shed: 0 });
    await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, `app-${id}`, active);
  }
});

/** Runs a command, which must succeed. */
async function run(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await stage.command(...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout;
}

async function ask(sids: readonly string[]): Promise<LookupResult[]> {
  const results: LookupResult[] = [];
  for (let at = 0; at < sids.length; at += IN_FLIGHT) {
    results.push(...(await Promise.all(sids.slice(at, at + IN_FLIGHT).map((sid) => client.lookup(sid)))));
  }
  return results;
}

const everyone = () => ask(users.map(sidOf));

function table(change: Readonly<Record<number, Partial<Placeable>>> = {}): Placeable[] {
  return Array.from({ length: BACKENDS }, (_, i) => {
    const id = i + 1;
    return { id, name: `app-${id}`, state: 'active', weight: 100, shed: 0, ...change[id] };
  });
}

/** Waits until everyone is answered as these backends say. @returns who is moved */
async function answeredAs(change: Readonly<Record<number, Partial<Placeable>>>): Promise<number[]> {
  const answers = new PresentAnswers(table(change));
  const expected = users.map((i) => {
    const to = answers.movedTo(`app-${storedOn(i)}`, cookieHash(sidOf(i)));
    const backend = to === null ? storedOn(i) : Number(to.slice('app-'.length));
    return { status: 'FOUND', backend, address: `10.1.0.${backend}`, port: 8080, moved: to !== null };
  });
  const isAsExpected = ({ status, backend, moved }: LookupResult, i: number) => {
    return status === 'FOUND' && backend === expected[i]?.backend && moved === expected[i]?.moved;
  };
  await until(async () => (await everyone()).every(isAsExpected), WAIT_MS);
  expect(await everyone()).toMatchObject(expected);
  return users.filter((i) => expected[i]?.moved);
}

describe('a backend', () => {
  test('is drained, and undrained', async () => {
    expect(await answeredAs({})).toEqual([]);
    await run('drain', 'app-1');
    const moved = await answeredAs({ 1: { state: 'draining' } });
    expect(moved).toEqual(users.filter((i) => storedOn(i) === 1));
    // Nothing was written into a record.
    expect(await redis.hget(`sess:${sidOf(0)}`, 'backend')).toBe('app-1');
    await run('undrain', 'app-1');
    expect(await answeredAs({})).toEqual([]);
  });

  test('sheds 30 %, 60 % and 30 % of its users, each time the same ones', async () => {
    const sheds = async (percent: number) => {
      await run('shed', 'app-2', String(percent));
      return new Set(await answeredAs({ 2: { shed: percent * 100 } }));
    };
    const [some, more, again] = [await sheds(30), await sheds(60), await sheds(30)];
    expect(some.size / (SESSIONS / BACKENDS)).toBeGreaterThan(0.24);
    expect(some.size / (SESSIONS / BACKENDS)).toBeLessThan(0.36);
    expect(more.size / (SESSIONS / BACKENDS)).toBeGreaterThan(0.54);
    expect(more.size / (SESSIONS / BACKENDS)).toBeLessThan(0.66);
    expect([...some].every((i) => more.has(i))).toBe(true);
    expect(again).toEqual(some);
    expect((await sheds(0)).size).toBe(0);
  });

  test('is down beside one that drains and one that sheds; none is active: everyone stays', async () => {
    await run('down', 'app-3');
    await run('drain', 'app-1');
    await run('shed', 'app-2', '12.5');
    await answeredAs({ 1: { state: 'draining' }, 2: { shed: 1_250 }, 3: { state: 'down' } });
    await run('down', 'app-2');
    await run('down', 'app-4');
    expect(
      await answeredAs({ 1: { state: 'down' }, 2: { state: 'down' }, 3: { state: 'down' }, 4: { state: 'down' } }),
    ).toEqual([]);
  });

  test('that is draining is settled and removed, and no answer changes', async () => {
    // Of app-4, so that the other tests have what they expect: stored anew in the end.
    await run('drain', 'app-4');
    await answeredAs({ 4: { state: 'draining' } });
    const before = (await everyone()).map(({ backend }) => backend);
    const inUse = await stage.command('backend', 'remove', 'app-4');
    expect(inUse).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('BACKEND_IN_USE') });
    let isOver = false;
    let looks = 0;
    const watching = (async () => {
      while (!isOver) {
        expect((await everyone()).map(({ backend }) => backend)).toEqual(before);
        looks += 1;
      }
    })();
    const settled = JSON.parse(await run('settle', 'app-4', '--rate', '500', '--json'));
    isOver = true;
    await watching;
    expect(looks).toBeGreaterThan(0);
    expect(settled).toMatchObject({ moved: SESSIONS / BACKENDS, staying: 0, complete: true });
    const isSettled = async () => (await everyone()).every(({ moved, backend }, i) => !moved && backend === before[i]);
    await until(isSettled, WAIT_MS);
    await run('backend', 'remove', 'app-4');
    const names = JSON.parse(await run('backends', '--json')).backends.map(({ name }: { name: string }) => name);
    expect(names).toEqual(['app-1', 'app-2', 'app-3']);
    expect((await everyone()).map(({ backend }) => backend)).toEqual(before);
    await run('backend', 'set', 'app-4', '--id', '4', '--address', '10.1.0.4:8080');
    await Promise.all(users.filter((i) => storedOn(i) === 4).map((i) => store(sidOf(i), 'app-4')));
    await answeredAs({});
  });

  test('shows its share, its sessions, and its lookups a second', async () => {
    let shown: BackendViews['backends'] = [];
    await until(async () => {
      await everyone();
      shown = JSON.parse(await run('backends', '--json')).backends;
      return shown.every(
        ({ sessions, lookupsPerSecond }) => sessions === SESSIONS / BACKENDS && (lookupsPerSecond ?? 0) > 0,
      );
    }, WAIT_MS);
    for (const { share } of shown) expect(share).toBeCloseTo(1 / BACKENDS, 2);
    // Advice is made from the lookups of the last seconds, so they go on meanwhile.
    await until(async () => {
      const advising = run('balance', '--by', 'lookups', '--target', '1000000', '--json');
      await Promise.all([advising, everyone(), everyone()]);
      const advice = JSON.parse(await advising);
      expect(advice).toMatchObject({ outcome: 'nothing to do', changes: [], applied: false });
      return advice.total > 0;
    }, WAIT_MS);
    expect(await run('backends')).toMatch(/^app-1 +1 +10\.1\.0\.1:8080 +active +100 +0 % +25\.0 % +500 +\d/m);
  });
});

describe('a user', () => {
  test('without a session is placed, as every gateway would', async () => {
    const unknown = users.map((i) => `nobody ${i}`);
    const { placed } = ringOf(table());
    const expected = unknown.map((sid) => {
      return { status: 'NOT_FOUND', placed: true, moved: false, backend: placed[slotOf(cookieHash(sid))], version: 0n };
    });
    expect(await ask(unknown)).toMatchObject(expected);
  });

  test('is moved, and keeps its end', async () => {
    const [sid, end] = [sidOf(0), await redis.call('PEXPIRETIME', `sess:${sidOf(0)}`)];
    await run('move', sid, 'app-3');
    await until(async () => (await client.lookup(sid)).backend === 3, WAIT_MS);
    expect(await client.lookup(sid)).toMatchObject({ status: 'FOUND', moved: false });
    expect(await redis.call('PEXPIRETIME', `sess:${sid}`)).toBe(end);
    await run('move', sid, 'app-1');
    await answeredAs({});
  });

  test('is denied, stored or not, stored again, and after a restart; and allowed', async () => {
    const [stored, unknown] = [sidOf(0), 'nobody at all'];
    const denied = { status: 'DENIED', backend: null, port: null, moved: false, placed: false };
    for (const sid of [stored, unknown]) await run('deny', sid);
    const bothAre = (status: string) => async () => {
      return (await ask([stored, unknown])).every((result) => result.status === status);
    };
    await until(bothAre('DENIED'), WAIT_MS);
    await store(unknown, 'app-1');
    await store(sidOf(1), 'app-2', 3_599_000);
    const ttl = async () => (await client.lookup(sidOf(1))).ttlSeconds ?? 0;
    await until(async () => (await ttl()) <= 3_599, WAIT_MS);
    expect(await ask([stored, unknown])).toMatchObject([denied, denied]);
    await stage.stopGateway();
    expect(await ask([stored, unknown])).toMatchObject([denied, denied]);
    await stage.startGateway();
    expect(await ask([stored, unknown])).toMatchObject([denied, denied]);
    for (const sid of [stored, unknown]) await run('allow', sid);
    await until(bothAre('FOUND'), WAIT_MS);
    await redis.fcall('session_del', 2, `sess:${unknown}`, FEED, unknown);
  });

  test('is denied for a while, which ends by itself', async () => {
    const sid = sidOf(5);
    await run('deny', sid, '--for', '8s');
    await until(async () => (await client.lookup(sid)).status === 'DENIED', WAIT_MS);
    await until(async () => (await client.lookup(sid)).status === 'FOUND', WAIT_MS);
  });
});

describe('facts', () => {
  const textOf = async (name: string) => {
    const { value } = await client.fact(name);
    return value === null ? null : Buffer.from(value).toString();
  };

  test('are what was set last, with a version that grows', async () => {
    expect(await client.fact('epoch')).toMatchObject({ status: 'NOT_FOUND', value: null, version: 0n });
    await run('fact', 'set', 'epoch', '7');
    await until(async () => (await textOf('epoch')) === '7', WAIT_MS);
    const first = await client.fact('epoch');
    const [ms, seq] = String(await redis.hget('gateway:fact-ids', 'epoch'))
      .split('-')
      .map(BigInt);
    expect(first).toMatchObject({ status: 'FOUND', version: ((ms ?? 0n) << 20n) | (seq ?? 0n) });
    await run('fact', 'set', 'epoch', 'x'.repeat(24));
    await until(async () => (await textOf('epoch')) === 'x'.repeat(24), WAIT_MS);
    expect((await client.fact('epoch')).version > first.version).toBe(true);
    const refused = await stage.command('fact', 'set', 'epoch', 'x'.repeat(25));
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('allowed: 0 to 24') });
    await run('fact', 'remove', 'epoch');
    await until(async () => (await client.fact('epoch')).status === 'NOT_FOUND', WAIT_MS);
  });
});

test('what happens is told to readers of events', async () => {
  let text = '';
  const socketPath = join(stage.directory, 'gateway.sock');
  const asked = request({ socketPath, path: '/v1/events', agent: false }, (response) => {
    response.on('error', () => undefined);
    response.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
  });
  asked.on('error', () => undefined);
  asked.end();
  try {
    await until(async () => text.includes('event: state\ndata: {"state":"following","ready":true}\n\n'), WAIT_MS);
    await run('drain', 'app-1');
    await run('fact', 'set', 'switch', 'on');
    const nameHash = Buffer.from(cookieHash('switch')).toString('hex');
    const backends = 'event: backends\ndata: {"names":["app-1"],"others":0}\n\n';
    const fact = `event: fact\ndata: {"nameHash":"${nameHash}","hex":"6f6e"}\n\n`;
    await until(async () => text.includes(backends) && text.includes(fact), WAIT_MS);
  } finally {
    asked.destroy();
  }
});
