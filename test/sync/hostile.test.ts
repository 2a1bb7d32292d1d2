/**
 * Hostile values in Redis: feed entries, records and backends of any bytes. Nothing of it stops the sync or changes a good
 * session, and all of it is counted, as a second reading of docs/redis.md here says.
 */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ProblemKind } from '../../src/sync/problems.ts';
import { parseBackends } from '../../src/sync/tables/backends.ts';
import { runs, SEED } from '../support/fuzz.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  newSync,
  type Running,
  seeded,
  until,
  untilInStep,
  untilReady,
} from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

const GOOD = 50;
const ENTRIES = 4_000;
const RECORDS = 1_500;
const EXPIRES_MAX = 253_402_300_799_999n;

let server: RedisServer;
let redis: Redis;
let running: Running | undefined;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await redis.flushall();
  await addBackends(redis, 3);
  for (let i = 0; i < GOOD; i++) await redis.hset(`sess:good-${i}`, 'backend', `web-${1 + (i % 3)}`);
});
afterEach(async () => {
  await running?.sync.stop();
});

async function load(): Promise<Running> {
  running = newSync(server, { table: new MemoryTable() });
  running.sync.start();
  await untilReady(running);
  return running;
}

function expectGood({ table }: Running): void {
  for (let i = 0; i < GOOD; i++) {
    expect(table.lookup(cookieHash(`good-${i}`))).toMatchObject({ backendId: 1 + (i % 3), expiresMs: 0 });
  }
}

const random = seeded(SEED);
const below = (n: number): number => Math.floor(random() * n);
const oneOf = <T>(values: readonly T[]): T => values[below(values.length)] as T;

function anyBytes(maxLength: number): Buffer {
  return Buffer.from(Array.from({ length: below(maxLength) }, () => below(256)));
}

const NUMBERS = [
  ...['0', '1', '00', '-0', '-1', '+1', ' 1', '1 ', '1.0', '1e3', '0x10', 'NaN', 'Infinity', '', '１'],
  ...['253402300799999', '253402300800000', '9007199254740993', '18446744073709551615', '18446744073709551616'],
  ...['99999999999999999999', '999999999999999999999', '9'.repeat(100_000)],
];
const NAMES = [
  'web-1',
  'web-2',
  'web-3',
  'nobody',
  '',
  'x'.repeat(256),
  'x'.repeat(257),
  '__proto__',
  'constructor',
  'web-1\0',
  'WEB-1',
];

function backendName(): Buffer {
  return below(8) === 0 ? anyBytes(300) : Buffer.from(oneOf(NAMES));
}

/** Never that of a good session. */
function badSid(): Buffer {
  const sid = oneOf([
    '',
    'bad',
    'x'.repeat(1_024),
    'x'.repeat(1_025),
    'x'.repeat(1_000_000),
    '__proto__',
    'a\0b',
    '\u{1f600}',
  ]);
  return below(4) === 0 ? Buffer.concat([Buffer.from('b'), anyBytes(64)]) : Buffer.from(sid);
}

/** A field list; what names a good session is wrong in another way. */
function someEntry(): Buffer[] {
  const good = Buffer.from(`good-${below(GOOD)}`);
  const pair = (name: string | Buffer, value: string | Buffer): Buffer[] => [Buffer.from(name), Buffer.from(value)];
  const entries: (() => Buffer[])[] = [
    () => [
      ...pair('op', 'set'),
      ...pair('sid', badSid()),
      ...pair('backend', backendName()),
      ...pair('expires', oneOf(NUMBERS)),
    ],
    () => [...pair('op', 'set'), ...pair('sid', good), ...pair('backend', ''), ...pair('expires', '0')],
    () => [...pair('op', 'set'), ...pair('sid', good), ...pair('backend', 'web-1'), ...pair('expires', '-1')],
    () => [...pair('op', 'set'), ...pair('sid', good), ...pair('expires', '0')],
    () => [...pair('sid', good), ...pair('backend', 'web-1'), ...pair('expires', '0')],
    () => [...pair(oneOf(['OP', 'op ', 'op\0', '']), 'del'), ...pair('sid', good)],
    () => [...pair('op', oneOf(['SET', 'sets', '', 'del ', 'set\0', '__proto__'])), ...pair('sid', good)],
    () => [...pair('op', anyBytes(20)), ...pair('sid', good)],
    () => [...pair('op', 'del'), ...pair(oneOf(['sid', 'SID', 'id']), badSid()), ...pair('backend', good)],
    // The first of a name counts.
    () => [...pair('op', 'del'), ...pair('sid', ''), ...pair('sid', good)],
    () => [...pair('op', 'del'), ...pair('sid', badSid()), ...pair('op', 'set'), ...pair('sid', good)],
    () => [
      ...pair('op', 'denied'),
      ...pair('hash', oneOf(['', 'a'.repeat(32), 'a'.repeat(33), 'é'.repeat(16)])),
      ...pair('until', oneOf(NUMBERS)),
    ],
    () => [...pair('op', 'denied'), ...(below(2) ? pair('until', oneOf(NUMBERS)) : [])],
    () => [...pair('op', 'fact'), ...pair('name', backendName())],
    () => Array.from({ length: 2 + 2 * below(8) }, () => anyBytes(30)),
    () => [
      ...pair('op', 'set'),
      ...Array.from({ length: 400 }, (_, i) => pair(`f${i}`, 'x')).flat(),
      ...pair('sid', ''),
    ],
  ];
  return oneOf(entries)();
}

/** What docs/redis.md says of an entry, read anew: the kind of problem, if there is one. */
function feedProblem(fields: readonly Buffer[]): ProblemKind | undefined {
  const first = (name: string): string | undefined => {
    for (let i = 0; i + 1 < fields.length; i += 2)
      if (fields[i]?.toString('latin1') === name) return fields[i + 1]?.toString('latin1');
    return undefined;
  };
  const isNumber = (text: string | undefined): boolean => /^\d{1,20}$/.test(text ?? '');
  const isOf = (text: string | undefined, max: number): boolean =>
    text !== undefined && text.length >= 1 && text.length <= max;
  const [op, hash, until, name] = [first('op'), first('hash'), first('until'), first('name')];
  if (op === undefined) return 'feed-op';
  if (op === 'del') return isOf(first('sid'), 1_024) ? undefined : 'feed-sid';
  if (op === 'denied') {
    if (hash === undefined && until === undefined) return undefined;
    return /^[0-9a-f]{32}$/.test(hash ?? '') && isNumber(until) ? undefined : 'feed-denied';
  }
  if (op === 'fact') return name === undefined || isOf(name, 256) ? undefined : 'feed-fact';
  if (op === 'backends') return undefined;
  if (op !== 'set') return 'feed-unknown-op';
  if (!isOf(first('sid'), 1_024)) return 'feed-sid';
  if (!isOf(first('backend'), 256)) return 'feed-backend';
  if (!isNumber(first('expires'))) return 'feed-expires';
  return BigInt(first('expires') ?? 0) > EXPIRES_MAX ? 'feed-expiry' : undefined;
}

function tally(kinds: readonly (ProblemKind | undefined)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of kinds) if (kind !== undefined) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Problems whose kind begins so, zeros left out. */
function counted({ sync }: Running, prefix: string): Record<string, number> {
  const totals = Object.entries(sync.status().counts.problems);
  return Object.fromEntries(totals.filter(([kind, number]) => kind.startsWith(prefix) && number > 0));
}

test('feed entries of any kind', async () => {
  const started = await load();
  const entries = Array.from({ length: ENTRIES }, someEntry);
  for (let i = 0; i < ENTRIES; i += 200) {
    const pipeline = redis.pipeline();
    for (const fields of entries.slice(i, i + 200)) pipeline.call('XADD', FEED, '*', ...fields);
    for (const [error] of (await pipeline.exec()) ?? []) expect(error).toBeNull();
  }
  await untilInStep(started);
  const { counts } = started.sync.status();
  expect(Object.values(counts.feed).reduce((sum, number) => sum + number, 0)).toBe(ENTRIES);
  const wanted = tally(entries.map(feedProblem));
  expect(counted(started, 'feed-')).toEqual(wanted);
  expect(Object.keys(wanted).length).toBeGreaterThan(6);
  // An entry without its fields says that the table is to be read, and there nobody is denied.
  expect(started.table.denied().size).toBeLessThanOrEqual(1);
  expect(started.table.factNames()).toEqual([]);
  expectGood(started);
  expect(counts.resyncs).toMatchObject({ start: 1, gap: 0 });
});

test('records of any kind', async () => {
  const kinds = new Map<string, ProblemKind | undefined>();
  const pipeline = redis.pipeline();
  for (let i = 0; i < RECORDS; i++) {
    const sid = Buffer.concat([badSid(), Buffer.from(below(50) === 0 ? '' : String(i))]);
    const key = Buffer.concat([Buffer.from('sess:'), sid]);
    if (kinds.has(key.toString('latin1'))) continue;
    const type = oneOf(['hash', 'hash', 'hash', 'string', 'list', 'set', 'zset', 'stream']);
    const sidProblem = sid.length === 0 || sid.length > 1_024 ? 'record-sid' : undefined;
    if (type === 'hash') {
      const name = backendName();
      const field = oneOf(['backend', 'backend', 'backend', 'Backend', 'backend ', 'user']);
      pipeline.hset(key, field, name, 'other', anyBytes(2_000));
      const problem =
        field !== 'backend' ? 'record-no-backend' : name.length < 1 || name.length > 256 ? 'record-backend' : undefined;
      kinds.set(key.toString('latin1'), sidProblem ?? problem);
      continue;
    }
    kinds.set(key.toString('latin1'), sidProblem ?? 'record-type');
    if (type === 'string') pipeline.set(key, anyBytes(100));
    else if (type === 'list') pipeline.rpush(key, 'web-1');
    else if (type === 'set') pipeline.sadd(key, 'web-1');
    else if (type === 'zset') pipeline.zadd(key, 1, 'web-1');
    else pipeline.call('XADD', key, '*', 'backend', 'web-1');
  }
  for (const [error] of (await pipeline.exec()) ?? []) expect(error).toBeNull();
  const started = await load();
  const wanted = tally([...kinds.values()]);
  expect(Object.keys(wanted).sort()).toEqual(['record-backend', 'record-no-backend', 'record-sid', 'record-type']);
  expect(counted(started, 'record-')).toEqual(wanted);
  const taken = [...kinds.values()].filter((kind) => kind === undefined).length;
  expect(started.table.live().size).toBeLessThanOrEqual(GOOD + taken);
  expectGood(started);
});

const ENTRY = '{"id":9,"address":"10.0.0.9:80"}';
const jsonish = fc.oneof(
  fc.json(),
  fc.string({ unit: 'binary' }),
  fc
    .record(
      {
        id: fc.oneof(fc.integer({ min: -1, max: 65_537 }), fc.double(), fc.string()),
        address: fc.oneof(
          fc.constantFrom('10.0.0.1:80', '[::1]:80', '10.0.0.1:0', '010.0.0.1:80', '[::ffff:1.2.3.4]:1', '1:2:3'),
          fc.string(),
        ),
        state: fc.oneof(fc.constantFrom('active', 'draining', 'down'), fc.string()),
        weight: fc.oneof(fc.integer(), fc.constant(null)),
        shed: fc.integer({ min: -1, max: 10_001 }),
      },
      { requiredKeys: [] },
    )
    .map((entry) => JSON.stringify(entry)),
  fc.constantFrom(
    ENTRY,
    `{"__proto__":{"id":9,"address":"10.0.0.9:80","polluted":1}}`,
    `{"constructor":{"prototype":{"polluted":1}},"id":9,"address":"10.0.0.9:80"}`,
    `{"id":9,"id":10,"address":"10.0.0.9:80"}`,
    `{"id":9e0,"address":"10.0.0.9:80"}`,
    `{"id":1e999,"address":"10.0.0.9:80"}`,
    '['.repeat(5_000),
    `{"a":`.repeat(600),
    `{"x":"${'y'.repeat(5_000)}"}`,
    '\ufeff{}',
    'null',
    '',
  ),
);
const someName = fc.oneof(
  fc.constantFrom('web-1', '__proto__', 'constructor', '', 'x'.repeat(257), 'toString'),
  fc.string({ unit: 'binary' }),
);
const tableOf = (value: fc.Arbitrary<string>) => {
  const bytes = fc
    .oneof(fc.tuple(someName, value), fc.tuple(fc.uint8Array(), value))
    .map(([name, text]) => [Buffer.from(name as string), Buffer.from(text)]);
  return fc.array(bytes, { maxLength: 20 }).map((pairs) => pairs.flat());
};

test('backends of any kind: never thrown, ids unique, what is wrong told in few words', () => {
  let taken = 0;
  fc.assert(
    fc.property(
      tableOf(jsonish),
      tableOf(fc.oneof(fc.constantFrom(...NUMBERS.slice(0, -1)), fc.nat(70_000).map(String))),
      (table, ids) => {
        const { backends, faults } = parseBackends(table, ids, new Map());
        taken += backends.length;
        for (const { name, id, address, port, weight, shed } of backends) {
          expect(name.length).toBeGreaterThan(0);
          for (const [value, max] of [
            [id, 65_535],
            [weight, 65_535],
            [shed, 10_000],
            [port, 65_535],
          ] as const) {
            expect(Number.isInteger(value) && value >= 0 && value <= max).toBe(true);
          }
          expect(id * port).toBeGreaterThan(0);
          expect(address).toHaveLength(16);
        }
        expect(new Set(backends.map(({ id }) => id)).size).toBe(backends.length);
        for (const { name, message } of faults) expect(name.length + message.length).toBeLessThan(700);
        // Each entry is taken or told.
        const told = faults.filter(({ kind }) => kind !== 'backend-field').length;
        expect(backends.length + told).toBe(table.length / 2);
      },
    ),
    runs(2_000),
  );
  expect(taken).toBeGreaterThan(100);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

test('hostile backends beside good ones, in a running sync', async () => {
  const started = await load();
  const nasty = [
    '{',
    ENTRY.slice(0, -1),
    '{"__proto__":{"id":1}}',
    `{"id":1,"address":"10.9.9.9:1"}`,
    'x'.repeat(1_000_000),
    '[]',
    '\0',
  ];
  const pipeline = redis.pipeline();
  for (const [i, json] of nasty.entries()) pipeline.hset('gateway:backends', `nasty-${i}`, json);
  pipeline.hset('gateway:backends', '__proto__', ENTRY);
  pipeline.hset('gateway:backends', Buffer.from([0xff]), ENTRY);
  pipeline.xadd(FEED, '*', 'op', 'backends');
  await pipeline.exec();
  await until('read', () => started.table.backends.some(({ name }) => name === '__proto__'));
  await untilInStep(started);
  expect(started.table.backends.map(({ name, id }) => `${name} ${id}`).sort()).toEqual([
    '__proto__ 9',
    'web-1 1',
    'web-2 2',
    'web-3 3',
  ]);
  const told = started.sync.status().backends.faults.filter(({ kind }) => kind !== 'backend-field');
  expect(told).toHaveLength(nasty.length + 1);
  expect(JSON.stringify(started.sync.status()).length).toBeLessThan(20_000);
  expectGood(started);
});
