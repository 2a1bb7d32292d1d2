/**
 * What the tests of the sync share: a Sync on a MemoryTable, waiting for a condition, and what Redis holds in the form
 * of MemoryTable.live().
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { LogFields } from '../../src/sync/log.ts';
import { Functions } from '../../src/sync/redis/functions.ts';
import type { BackendSource } from '../../src/sync/snapshot/session-forms.ts';
import { Sync, type SyncOptions } from '../../src/sync/sync.ts';
import type { Tuning } from '../../src/sync/tuning.ts';
import { type HeldFact, MemoryTable } from './memory-table.ts';
import type { RedisServer } from './redis-server.ts';

export const PREFIX = 'sess:';
export const FEED = 'sessions:feed';
export const NAMES = 'gateway:';

export function functionsOf(redis: Redis): Functions {
  return new Functions(redis, { sessionPrefix: PREFIX, feed: FEED, names: NAMES });
}

export function cookieHash(sid: string | Buffer): string {
  return createHash('sha256').update(sid).digest('hex').slice(0, 32);
}

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

export interface Running {
  readonly sync: Sync;
  readonly table: MemoryTable;
  readonly lines: LogLine[];
}

/** Short waits, small pages and replies, so that tests meet every boundary soon. */
export const TEST_TUNING: Partial<Tuning> = {
  blockMs: 60,
  resyncBlockMs: 10,
  checkEveryMs: 50,
  replyGraceMs: 1000,
  feedCount: 100,
  pageSize: 50,
  deniedPageSize: 10,
  backoffMinMs: 20,
  backoffMaxMs: 100,
  backendsResyncGapMs: 100,
  roomResyncGapMinMs: 100,
};

export function newSync(
  server: Pick<RedisServer, 'url'>,
  options: Partial<SyncOptions> & { table?: MemoryTable; reconcileEveryMs?: number } = {},
): Running {
  const table = options.table ?? new MemoryTable();
  const lines: LogLine[] = [];
  const sync = new Sync({
    redis: { url: server.url },
    names: NAMES,
    sessions: { prefix: PREFIX, backend: { in: 'hash', field: 'backend' } },
    feed: { stream: FEED, reconcileEveryMs: options.reconcileEveryMs ?? 3_600_000 },
    log: (level, event, fields) => lines.push({ level, event, fields }),
    ...options,
    table,
    tuning: { ...TEST_TUNING, ...options.tuning },
  });
  return { sync, table, lines };
}

const WAIT_MS = 55_000;

/** Waits until `isTrue` returns true. */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = Date.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (Date.now() > endMs) throw new Error(`waited ${WAIT_MS} ms in vain: ${what}`);
    await delay(5);
  }
}

export async function untilReady({ sync }: Running): Promise<void> {
  await until('ready', () => sync.status().ready);
}

/** Waits until the feed was read to its end by a request that was sent after this call, without a gap. */
export async function untilInStep({ sync }: Running): Promise<void> {
  const nowMs = Number(process.hrtime.bigint() / 1_000_000n);
  await until('in step', () => (sync.status().inStepMs ?? 0) > nowMs && sync.status().state === 'following');
}

/** What Redis holds, read by plain commands: cookie hash → `backend id until expiry`. */
export async function liveInRedis(
  redis: Redis,
  prefix = PREFIX,
  backend: BackendSource = { in: 'hash', field: 'backend' },
): Promise<Map<string, string>> {
  const ids = new Map<string, number>();
  for (const [name, json] of Object.entries(await redis.hgetall(`${NAMES}backends`)))
    ids.set(name, JSON.parse(json).id);
  const live = new Map<string, string>();
  for (const key of await redis.keysBuffer(`${prefix}*`)) {
    if ((await redis.type(key)) !== (backend.in === 'hash' ? 'hash' : 'string')) continue;
    const name = await (backend.in === 'hash' ? redis.hget(key, backend.field) : redis.get(key));
    const end = Number(await redis.call('PEXPIRETIME', key));
    const id = ids.get((backend.in === 'json' ? nameInJson(name, backend.path) : name) ?? '');
    if (id === undefined || end === -2) continue;
    live.set(cookieHash(key.subarray(prefix.length)), `${id} until ${Math.max(end, 0)}`);
  }
  return live;
}

/** The revocations in Redis that are not over: cookie hash → Unix ms; in the form of MemoryTable.denied(). */
export async function deniedInRedis(redis: Redis, nowMs = Date.now()): Promise<Map<string, number>> {
  const members = await redis.zrange(`${NAMES}denied`, '0', '-1', 'WITHSCORES');
  const denied = new Map<string, number>();
  for (let i = 0; i + 1 < members.length; i += 2) {
    const score = members[i + 1] === 'inf' ? Number.POSITIVE_INFINITY : Number(members[i + 1]);
    const untilMs = Math.min(Math.floor(score), 253_402_300_799_999);
    if (/^[0-9a-f]{32}$/.test(members[i] as string) && untilMs > nowMs) denied.set(members[i] as string, untilMs);
  }
  return denied;
}

/** The facts in Redis: hash of the name → `value as of id`. */
export async function factsInRedis(redis: Redis): Promise<Map<string, string>> {
  const ids = await redis.hgetall(`${NAMES}fact-ids`);
  const facts = new Map<string, string>();
  for (const [name, value] of Object.entries(await redis.hgetall(`${NAMES}facts`))) {
    if (value.length <= 24) facts.set(cookieHash(name), `${value} as of ${ids[name] ?? '0-0'}`);
  }
  return facts;
}

/** The facts that a table holds, in that form. */
export function factsIn(table: MemoryTable): Map<string, string> {
  return new Map(
    table.factNames().map((nameHash) => {
      const { value, ms, seq } = table.fact(nameHash) as HeldFact;
      return [nameHash, `${Buffer.from(value).toString()} as of ${ms}-${seq}`];
    }),
  );
}

/** For one name, without dots. */
function nameInJson(json: string | null, name: string): string | null {
  try {
    const value = JSON.parse(json ?? '')[name];
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}

export async function addBackends(redis: Redis, number: number): Promise<void> {
  const functions = functionsOf(redis);
  for (let id = 1; id <= number; id++) await functions.backendPatch(`web-${id}`, { id, address: `10.0.0.${id}:8080` });
}

/** A generator of numbers from 0 up to, not including, 1 (mulberry32), the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
