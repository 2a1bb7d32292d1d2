/**
 * Revocations, facts and backends under everything at once, both ways of following: it always ends equal to Redis, and in
 * step is said only of what Redis held at that moment, or later.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { systemRuntime } from '../../src/sync/runtime.ts';
import {
  addBackends,
  cookieHash,
  deniedInRedis,
  FEED,
  factsIn,
  factsInRedis,
  functionsOf,
  newSync,
  type Running,
  seeded,
  until,
  untilInStep,
} from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

const STEPS = 700;
const HASHES = Array.from({ length: 400 }, (_, i) => cookieHash(`s${i}`));
const FACTS = Array.from({ length: 60 }, (_, i) => `fact ${i}`);
/** Revocations that end soon end within this, ms. */
const SHORT_MS = 30;
const FOR_GOOD = 253_402_300_799_999;

let server: RedisServer | undefined;
let started: Running | undefined;

afterEach(async () => {
  server?.resume();
  await started?.sync.stop();
  await server?.stop();
});

/** In the form of MemoryTable.backends. */
async function backendsInRedis(redis: Redis): Promise<string[]> {
  const entries = Object.entries(await redis.hgetall('gateway:backends'));
  return entries.map(([name, json]) => `${name} ${JSON.parse(json).state} ${JSON.parse(json).shed}`).sort();
}

async function isBack(redis: Redis): Promise<void> {
  await until('back', () =>
    redis.ping().then(
      () => true,
      () => false,
    ),
  );
}

it.each([
  ...[51, 52, 53, 54].map((seed) => ['stream', seed] as const),
  ...[61, 62, 63, 64].map((seed) => ['notifications', seed] as const),
])('everything at once, followed by %s, seed %i', async (from, seed) => {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const oneOf = <T>(values: readonly T[]): T => values[below(values.length)] as T;
  const own = await RedisServer.start('--notify-keyspace-events', 'KA', '--zset-max-listpack-entries', '4');
  server = own;
  const redis = own.client();
  const functions = functionsOf(redis);
  await addBackends(redis, 3);
  const running = newSync(own, {
    feed: { from, stream: FEED, reconcileEveryMs: 20 + below(300) },
    tuning: { deniedPageSize: 1 + below(30), feedCount: 1 + below(50), gapSettleMs: 1, replyGraceMs: 300 },
  });
  started = running;
  running.sync.start();
  let pending: Promise<unknown>[] = [];
  const settle = async (): Promise<void> => {
    await Promise.allSettled(pending);
    pending = [];
  };
  const expectEqual = async (): Promise<void> => {
    await settle();
    // Whatever is about to end has ended.
    await delay(SHORT_MS);
    await untilInStep(running);
    expect(running.table.denied()).toEqual(await deniedInRedis(redis));
    expect(factsIn(running.table)).toEqual(await factsInRedis(redis));
    const backends = running.table.backends.map(({ name, state, shed }) => `${name} ${state} ${shed}`);
    expect(backends.sort()).toEqual(await backendsInRedis(redis));
  };
  const announced = (op: string): [string, ...string[]] => [FEED, '*', 'op', op];
  let equal = 0;
  for (let step = 0; step < STEPS; step++) {
    const hash = oneOf(HASHES);
    const fact = oneOf(FACTS);
    const later = Date.now() + 3_600_000 + below(1000);
    const dice = below(1000);
    if (dice < 250) pending.push(functions.sessionDeny(hash, later));
    else if (dice < 300) pending.push(functions.sessionDeny(hash, FOR_GOOD));
    else if (dice < 400) pending.push(functions.sessionDeny(hash, 0));
    else if (dice < 440) pending.push(functions.sessionDeny(hash, Date.now() + below(SHORT_MS)));
    else if (dice < 600) pending.push(functions.factSet(fact, `value ${step}`));
    else if (dice < 680) pending.push(functions.factRemove(fact));
    else if (dice < 740) {
      const many = HASHES.slice(0, 1 + below(HASHES.length)).flatMap((one) => [later, one]);
      pending.push(
        redis
          .multi()
          .zadd('gateway:denied', ...many)
          .xadd(...announced('denied'))
          .exec(),
      );
    } else if (dice < 770) {
      const multi = redis.multi().hset('gateway:facts', fact, `v${step}`).hdel('gateway:fact-ids', fact);
      pending.push(multi.xadd(...announced('fact'), 'name', fact).exec());
    } else if (dice < 790) {
      const multi = redis.multi().hset('gateway:facts', fact, 'x'.repeat(20 + below(9)), oneOf(FACTS), 'y');
      pending.push(multi.xadd(...announced('fact')).exec());
    } else if (dice < 840) {
      const state = oneOf(['active', 'draining', 'down'] as const);
      pending.push(functions.backendPatch(`web-${1 + below(3)}`, { state, shed: below(10_001) }));
    } else if (dice < 850) {
      const multi = redis.multi().del('gateway:denied', 'gateway:facts', 'gateway:fact-ids');
      pending.push(
        multi
          .xadd(...announced('denied'))
          .xadd(...announced('fact'))
          .exec(),
      );
    } else if (dice < 880) running.table.collect();
    else if (dice < 890) pending.push(redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
    else if (dice < 895) pending.push(redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
    else if (dice < 905) pending.push(redis.multi().zrem('gateway:denied', hash).del(FEED).exec());
    else if (dice < 910) pending.push(redis.multi().hdel('gateway:facts', fact).xtrim(FEED, 'MAXLEN', 0).exec());
    else if (dice < 914) {
      await settle();
      await redis.flushall();
      await addBackends(redis, 3);
    } else if (dice < 920) {
      await settle();
      if (below(2) === 0) await redis.save();
      await own.kill();
      await own.launch();
      await isBack(redis);
      await addBackends(redis, 3);
    } else if (dice < 925) pending.push(redis.script('FLUSH'));
    else if (dice < 935) {
      await expectEqual();
      equal += 1;
    } else await settle();
  }
  await expectEqual();
  expect(equal).toBeGreaterThan(0);
  expect(running.sync.status().counts.resyncs.gap).toBeGreaterThan(0);
});

/** What a table holds of one thing, and until when that was so, at the latest. */
interface State {
  readonly value: string;
  untilMs: number;
}

/** Remembers what it held each time that it was said to be in step. */
class WitnessTable extends MemoryTable {
  readonly claims: { readonly monotonicMs: number; readonly held: ReadonlyMap<string, string> }[] = [];

  override markInStep(monotonicMs: number): void {
    super.markInStep(monotonicMs);
    const held = new Map(factsIn(this));
    for (const [hash, untilMs] of this.denied()) held.set(hash, String(untilMs));
    this.claims.push({ monotonicMs, held });
  }
}

it.each([
  ...[71, 72].map((seed) => ['stream', seed] as const),
  ...[81, 82].map((seed) => ['notifications', seed] as const),
])('in step is true of each revocation and each fact, followed by %s, seed %i', async (from, seed) => {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const own = await RedisServer.start('--notify-keyspace-events', 'KA', '--zset-max-listpack-entries', '2');
  server = own;
  const redis = own.client();
  const functions = functionsOf(redis);
  await addBackends(redis, 1);
  const table = new WitnessTable();
  const running = newSync(own, {
    table,
    feed: { from, stream: FEED, reconcileEveryMs: 100 },
    tuning: {
      checkEveryMs: 10,
      blockMs: 10,
      resyncBlockMs: 5,
      deniedPageSize: 2,
      gapSettleMs: 1,
      replyGraceMs: 100,
      reconcileShare: 1,
    },
  });
  started = running;
  const hashes = HASHES.slice(0, 20);
  const names = ['a', 'b', 'c'];
  const nothing = '';
  const histories = new Map<string, State[]>(
    [...hashes, ...names.map(cookieHash)].map((one) => [one, [{ value: nothing, untilMs: Number.POSITIVE_INFINITY }]]),
  );
  const latest = (one: string): State => (histories.get(one) as State[]).at(-1) as State;
  /** @param carryOut returns the value that is there now, where it was not known before */
  const change = async (one: string, value: string, carryOut: () => Promise<string | unknown>): Promise<void> => {
    const before = latest(one);
    const state = { value, untilMs: Number.POSITIVE_INFINITY };
    // It may be seen before its reply is.
    histories.get(one)?.push(state);
    const known = await carryOut();
    if (typeof known === 'string') Object.assign(state, { value: known });
    before.untilMs = systemRuntime.monotonicMs();
  };
  running.sync.start();
  for (let step = 0; step < 400; step++) {
    const hash = hashes[below(hashes.length)] as string;
    const name = names[below(names.length)] as string;
    const until10 = Date.now() + 600_000 + step;
    const dice = below(100);
    if (dice < 25) await change(hash, String(until10), () => functions.sessionDeny(hash, until10));
    else if (dice < 40) {
      // The entry only says that the table is to be read.
      const write = redis.multi().zadd('gateway:denied', until10, hash).xadd(FEED, '*', 'op', 'denied');
      await change(hash, String(until10), () => write.exec());
    } else if (dice < 60) await change(hash, nothing, () => functions.sessionDeny(hash, 0));
    else if (dice < 70) {
      await change(cookieHash(name), nothing, async () => `v as of ${(await functions.factSet(name, 'v')).id}`);
    } else if (dice < 76) await change(cookieHash(name), nothing, () => functions.factRemove(name));
    else if (dice < 79) {
      const write = redis.multi().zrem('gateway:denied', hash).del(FEED);
      await change(hash, nothing, () => write.exec());
    } else if (dice < 82) await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    else if (dice < 83) await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    else if (dice < 85) {
      own.pause();
      await delay(below(150));
      own.resume();
    } else {
      const claims = table.claims.length;
      await until('said again', () => table.claims.length > claims);
    }
  }
  await untilInStep(running);
  expect(table.claims.length).toBeGreaterThan(10);
  for (const { monotonicMs, held } of table.claims) {
    for (const [one, history] of histories) {
      const value = held.get(one) ?? nothing;
      const wasHeld = history.some((state) => state.value === value && state.untilMs >= monotonicMs);
      expect(wasHeld, `said for ${monotonicMs}: ${one} is "${value}"`).toBe(true);
    }
  }
});
