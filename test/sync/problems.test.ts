import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PROBLEMS, type ProblemKind, Problems } from '../../src/sync/problems.ts';
import type { BackendSource } from '../../src/sync/snapshot/session-forms.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  functionsOf,
  newSync,
  type Running,
  until,
  untilInStep,
  untilReady,
} from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let redis: Redis;
let started: Running | undefined;
const seen = new Set<ProblemKind>();

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});

afterAll(() => server.stop());

beforeEach(async () => {
  await redis.flushall();
  await addBackends(redis, 1);
});

afterEach(async () => {
  await started?.sync.stop();
});

/** The problems counted, those that are 0 left out. */
function problems({ sync }: Running): Record<string, number> {
  const found = Object.entries(sync.status().counts.problems).filter(([, number]) => number > 0);
  for (const [kind] of found) seen.add(kind as ProblemKind);
  return Object.fromEntries(found);
}

async function load(table = new MemoryTable(), options: Parameters<typeof newSync>[1] = {}): Promise<Running> {
  started = newSync(server, { table, ...options });
  started.sync.start();
  await untilReady(started);
  return started;
}

const long = 'x'.repeat(257);
const longSid = 's'.repeat(1025);

describe('in records', () => {
  const cases: [ProblemKind, () => Promise<unknown>, boolean][] = [
    ['record-type', () => redis.set('sess:bad', 'web-1'), false],
    ['record-type', () => redis.lpush('sess:bad', 'web-1'), false],
    ['record-sid', () => redis.hset('sess:', 'backend', 'web-1'), false],
    ['record-sid', () => redis.hset(`sess:${longSid}`, 'backend', 'web-1'), false],
    ['record-no-backend', () => redis.hset('sess:bad', 'user', 'u'), false],
    ['record-backend', () => redis.hset('sess:bad', 'backend', ''), false],
    ['record-backend', () => redis.hset('sess:bad', 'backend', long), false],
    ['unknown-backend', () => redis.hset('sess:bad', 'backend', 'nobody'), true],
    [
      'record-expiry',
      () =>
        redis.multi().hset('sess:bad', 'backend', 'web-1').call('PEXPIREAT', 'sess:bad', '9223372036854775807').exec(),
      true,
    ],
    [
      'record-expiry',
      () => redis.multi().hset('sess:bad', 'backend', 'web-1').call('PEXPIREAT', 'sess:bad', '253402300800000').exec(),
      true,
    ],
  ];

  it.each(cases)('%s, case %#', async (kind, write, stored) => {
    await write();
    await redis.hset('sess:good', 'backend', 'web-1');
    const running = await load();
    expect(problems(running)).toEqual({ [kind]: 1 });
    expect(running.table.lookup(cookieHash('good'))?.backendId).toBe(1);
    const held = running.table.lookup(cookieHash('bad'));
    expect(held !== undefined).toBe(stored);
    if (kind === 'record-expiry') expect(held?.expiresMs).toBe(253_402_300_799_999);
  });
});

describe('in records of another form', () => {
  const json: BackendSource = { in: 'json', path: 'route.backend' };
  const value: BackendSource = { in: 'value' };
  const filled = (bytes: number): string => {
    const text = '{"route":{"backend":"web-1"},"fill":""}';
    return text.replace('""', `"${'x'.repeat(bytes - text.length)}"`);
  };
  const cases: [BackendSource, string | null, ProblemKind | null][] = [
    [json, '{"route":{"backend":"web-1"}}', null],
    [json, filled(65_536), null],
    [json, filled(65_537), 'record-json'],
    [json, '{"route":{"backend":"web-1"}', 'record-json'],
    [json, '', 'record-json'],
    [json, '\xff', 'record-json'],
    [json, '{"route":{}}', 'record-no-backend'],
    [json, '{"route":null}', 'record-no-backend'],
    [json, '{"route":"backend"}', 'record-no-backend'],
    [json, '{"route":{"backend":7}}', 'record-no-backend'],
    [json, '{"route":{"backend":["web-1"]}}', 'record-no-backend'],
    [json, '{"__proto__":{"route":{"backend":"web-1"}}}', 'record-no-backend'],
    [json, '[]', 'record-no-backend'],
    [json, 'null', 'record-no-backend'],
    [json, `{"route":{"backend":"${long}"}}`, 'record-backend'],
    [json, '{"route":{"backend":""}}', 'record-backend'],
    [json, null, 'record-type'],
    [value, 'web-1', null],
    [value, '', 'record-backend'],
    [value, long, 'record-backend'],
    [value, null, 'record-type'],
  ];

  it.each(cases)('%j, case %#', async (backend, text, kind) => {
    if (text === null) await redis.hset('sess:bad', 'backend', 'web-1');
    else await redis.set('sess:bad', text);
    await redis.set('sess:good', backend.in === 'json' ? '{"route":{"backend":"web-1"}}' : 'web-1');
    const running = await load(new MemoryTable(), { sessions: { prefix: 'sess:', backend } });
    expect(problems(running)).toEqual(kind === null ? {} : { [kind]: 1 });
    expect(running.table.lookup(cookieHash('good'))?.backendId).toBe(1);
    expect(running.table.lookup(cookieHash('bad'))?.backendId).toBe(kind === null ? 1 : undefined);
  });
});

describe('in the feed', () => {
  const set = (...fields: string[]): string[] => ['op', 'set', ...fields];
  const cases: [ProblemKind, string[]][] = [
    ['feed-op', ['sid', 'bad']],
    ['feed-op', ['OP', 'set']],
    ['feed-unknown-op', ['op', 'sets']],
    ['feed-unknown-op', ['op', '']],
    ['feed-sid', set('backend', 'web-1', 'expires', '0')],
    ['feed-sid', set('sid', '', 'backend', 'web-1', 'expires', '0')],
    ['feed-sid', set('sid', longSid, 'backend', 'web-1', 'expires', '0')],
    ['feed-sid', ['op', 'del']],
    ['feed-sid', ['op', 'del', 'sid', longSid]],
    ['feed-backend', set('sid', 'bad', 'expires', '0')],
    ['feed-backend', set('sid', 'bad', 'backend', '', 'expires', '0')],
    ['feed-backend', set('sid', 'bad', 'backend', long, 'expires', '0')],
    ['feed-expires', set('sid', 'bad', 'backend', 'web-1')],
    ...['', '-1', '1.5', '1e3', ' 1', 'never', '9'.repeat(21)].map((expires): [ProblemKind, string[]] => [
      'feed-expires',
      set('sid', 'bad', 'backend', 'web-1', 'expires', expires),
    ]),
    ['feed-expiry', set('sid', 'bad', 'backend', 'web-1', 'expires', '18446744073709551616')],
    ['feed-expiry', set('sid', 'bad', 'backend', 'web-1', 'expires', '253402300800000')],
    ['unknown-backend', set('sid', 'bad', 'backend', 'nobody', 'expires', '0')],
    ['feed-denied', ['op', 'denied', 'hash', 'a'.repeat(31), 'until', '0']],
    ['feed-denied', ['op', 'denied', 'hash', 'A'.repeat(32), 'until', '0']],
    ['feed-denied', ['op', 'denied', 'hash', 'a'.repeat(32)]],
    ['feed-denied', ['op', 'denied', 'until', '0']],
    ['feed-denied', ['op', 'denied', 'hash', 'a'.repeat(32), 'until', 'x']],
    ['feed-fact', ['op', 'fact', 'name', '']],
    ['feed-fact', ['op', 'fact', 'name', long]],
  ];

  it.each(cases)('%s, case %#', async (kind, fields) => {
    const running = await load();
    await redis.call('XADD', FEED, '*', ...fields);
    await redis.call('XADD', FEED, '*', ...set('sid', 'good', 'backend', 'web-1', 'expires', '0'));
    await untilInStep(running);
    expect(problems(running)).toEqual({ [kind]: 1 });
    expect(running.table.lookup(cookieHash('good'))?.backendId).toBe(1);
    const held = running.table.lookup(cookieHash('bad'));
    if (kind === 'feed-expiry') expect(held?.expiresMs).toBe(253_402_300_799_999);
    else if (kind === 'unknown-backend') expect(held?.backendId).toBe(0);
    else expect(held).toBeUndefined();
    expect(running.sync.status().counts.connections).toBe(1);
  });

  it('none for what is allowed', async () => {
    const running = await load();
    const fields = [
      ['op', 'denied'],
      ['op', 'fact'],
      ['op', 'backends'],
      ['op', 'fact', 'name', 'epoch'],
      ['op', 'denied', 'hash', 'a'.repeat(32), 'until', '0'],
    ];
    for (const entry of fields) await redis.call('XADD', FEED, '*', ...entry);
    await untilInStep(running);
    expect(problems(running)).toEqual({});
    expect(running.sync.status().counts.feed).toMatchObject({ denied: 2, fact: 2, backends: 1 });
  });

  it('a malformed entry changes nothing', async () => {
    await functionsOf(redis).sessionSet('a', 'web-1', 60_000);
    const running = await load();
    await redis.call('XADD', FEED, '*', ...set('sid', 'a', 'backend', '', 'expires', '0'));
    await untilInStep(running);
    expect(running.table.lookup(cookieHash('a'))?.backendId).toBe(1);
  });

  it('feed-id: ids of any size keep their order', async () => {
    const running = await load();
    const add = (id: string, sid: string, backend: string): Promise<unknown> =>
      redis.call('XADD', FEED, id, ...set('sid', sid, 'backend', backend, 'expires', '0'));
    await addBackends(redis, 3);
    await add('8796093022207-1048577', 'a', 'web-1');
    await add('8796093022208-0', 'a', 'web-2');
    await add('18446744073709551614-5', 'a', 'web-3');
    await add('18446744073709551615-18446744073709551615', 'b', 'web-2');
    await redis.multi().hset('sess:a', 'backend', 'web-3').hset('sess:b', 'backend', 'web-2').exec();
    await untilInStep(running);
    expect(running.table.lookup(cookieHash('a'))?.backendId).toBe(3);
    expect(running.table.lookup(cookieHash('b'))?.backendId).toBe(2);
    expect(running.sync.status().position?.id).toBe('18446744073709551615-18446744073709551615');
    expect(problems(running)['feed-id']).toBeGreaterThanOrEqual(3);
    await running.sync.stop();
    const again = await load();
    expect(again.table.lookup(cookieHash('a'))?.backendId).toBe(3);
  });
});

describe('in the backends', () => {
  it.each([
    ['backend-entry', 'bad', '{"id":9}'],
    ['backend-field', 'new', '{"id":9,"address":"10.0.0.9:80","rack":"r4"}'],
    ['backend-id', 'zzz', '{"id":1,"address":"10.0.0.9:80"}'],
  ] as const)('%s', async (kind, name, json) => {
    await redis.hset('gateway:backends', name, json);
    const running = await load();
    expect(Object.keys(problems(running))).toEqual([kind]);
    expect(running.sync.status().backends.faults[0]).toMatchObject({ name, kind });
    expect(running.table.backends.some((backend) => backend.name === name)).toBe(kind === 'backend-field');
  });

  it('backends-table', async () => {
    await redis.set('gateway:backend-ids', 'x');
    const running = await load();
    expect(Object.keys(problems(running))).toEqual(['backends-table']);
  });
});

/** A table is read once or twice at the start. */
function expectAtEachReading(running: Running, kind: ProblemKind, number: number): void {
  const found = problems(running);
  expect(Object.keys(found)).toEqual([kind]);
  expect([number, 2 * number]).toContain(found[kind]);
}

describe('in the revoked sessions', () => {
  it('denied-entry', async () => {
    await redis.zadd('gateway:denied', 'inf', 'A'.repeat(32), 'inf', 'x'.repeat(100_000), 'inf', '', '1', 'over');
    await redis.zadd('gateway:denied', 'inf', 'a'.repeat(32));
    const running = await load();
    expectAtEachReading(running, 'denied-entry', 3);
    expect(running.table.denied()).toEqual(new Map([['a'.repeat(32), 253_402_300_799_999]]));
    expect(running.sync.status().denied).toMatchObject({ entries: 1, malformed: 3 });
  });

  it('denied-table', async () => {
    await redis.set('gateway:denied', 'x');
    const running = await load();
    expect(Object.keys(problems(running))).toEqual(['denied-table']);
    expect(running.sync.status().lastError?.message).toContain('gateway:denied: WRONGTYPE');
    expect(running.sync.status()).toMatchObject({ inStepMs: null, denied: null });
  });

  it('denied-full', async () => {
    for (const digit of 'abcd') await redis.zadd('gateway:denied', 'inf', digit.repeat(32));
    const running = await load(new MemoryTable({ denied: 3 }));
    expectAtEachReading(running, 'denied-full', 1);
    expect(running.table.denied().size).toBe(3);
  });
});

describe('in the facts', () => {
  it('fact-entry', async () => {
    await redis.hset('gateway:facts', '', 'x', long, 'x', 'n', 'v'.repeat(25), 'm', 'v'.repeat(1_000_000), 'good', '');
    await redis.hset('gateway:fact-ids', 'good', '5-1');
    const running = await load();
    expectAtEachReading(running, 'fact-entry', 4);
    expect(running.table.factNames()).toEqual([cookieHash('good')]);
    expect(running.sync.status().facts).toMatchObject({ entries: 1, malformed: 4 });
  });

  it('fact-id', async () => {
    const ids = { a: '5', b: '5-1-1', c: 'x'.repeat(1_000_000), d: '-1-1' };
    await redis.hset('gateway:facts', { ...ids, c: 'v', e: 'v' });
    await redis.hset('gateway:fact-ids', ids);
    const running = await load();
    expectAtEachReading(running, 'fact-id', 5);
    expect(running.table.fact(cookieHash('e'))).toMatchObject({ value: Buffer.from('v'), ms: 0, seq: 0 });
  });

  it.each(['gateway:facts', 'gateway:fact-ids'])('facts-table, %s', async (key) => {
    await redis.set(key, 'x');
    const running = await load();
    expect(Object.keys(problems(running))).toEqual(['facts-table']);
    expect(running.sync.status()).toMatchObject({ inStepMs: null, facts: null });
  });

  it('facts-full', async () => {
    for (const name of ['c', 'a', 'b']) await functionsOf(redis).factSet(name, 'v');
    const running = await load(new MemoryTable({ facts: 2 }));
    expectAtEachReading(running, 'facts-full', 1);
    expect(running.table.factNames()).toEqual([cookieHash('a'), cookieHash('b')]);
  });
});

it('table-full', async () => {
  await redis.hset('sess:a', 'backend', 'web-1');
  expect(problems(await load(new MemoryTable(0)))).toEqual({ 'table-full': 1 });
});

it('feed-entry-size', async () => {
  const running = await load();
  await redis.call('XADD', FEED, '*', 'op', 'del', 'sid', Buffer.alloc(17 * 2 ** 20));
  await until('met', () => running.sync.status().counts.problems['feed-entry-size'] > 0);
  expect(problems(running)).toEqual({ 'feed-entry-size': 1 });
});

it('every kind was met above', () => {
  expect([...seen].sort()).toEqual(Object.keys(PROBLEMS).sort());
});

describe('the log', () => {
  it('has at most one line a minute for each kind, with the number since', () => {
    const lines: unknown[] = [];
    let nowMs = 0;
    const runtime = { wallMs: () => nowMs, monotonicMs: () => nowMs, random: () => 0, timer: () => () => undefined };
    const counted = new Problems(runtime, (_level, _event, { kind, number, total }) =>
      lines.push([kind, number, total]),
    );
    counted.report();
    counted.count('feed-op');
    counted.count('feed-sid', 3);
    counted.report();
    counted.count('feed-op', 5);
    nowMs = 59_999;
    counted.report();
    expect(lines.splice(0)).toEqual(
      [
        ['feed-sid', 3, 3],
        ['feed-op', 1, 1],
      ].sort((a, b) => Object.keys(PROBLEMS).indexOf(String(a[0])) - Object.keys(PROBLEMS).indexOf(String(b[0]))),
    );
    nowMs = 60_000;
    counted.report();
    counted.report();
    expect(lines).toEqual([['feed-op', 5, 6]]);
  });

  it('never has a session id, nor has the status', async () => {
    const secret = 'SECRET-SESSION-ID';
    await redis.set(`sess:${secret}1`, 'x');
    await redis.hset(`sess:${secret}2`, 'backend', 'nobody');
    const running = await load();
    await redis.call('XADD', FEED, '*', 'op', 'set', 'sid', `${secret}3`, 'backend', '', 'expires', '0');
    await redis.call('XADD', FEED, '*', 'op', secret, 'sid', secret);
    await untilInStep(running);
    await until('logged', () => running.lines.some(({ fields }) => fields['kind'] === 'feed-unknown-op'));
    expect(JSON.stringify([running.lines, running.sync.status()])).not.toContain(secret);
  });
});
