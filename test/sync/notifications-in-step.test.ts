/**
 * Followed by notifications, the table is said to be in step with a moment only where it holds each session as Redis held it
 * at that moment, or later. Sessions are read one by one, so two of them may be as of two moments.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemRuntime } from '../../src/sync/runtime.ts';
import { addBackends, cookieHash, FEED, newSync, PREFIX, type Running, seeded, until, untilInStep } from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

interface Claim {
  readonly monotonicMs: number;
  /** Cookie hash → backend. */
  readonly held: ReadonlyMap<string, number>;
}

/** Remembers what it held each time that it was said to be in step. */
class WitnessTable extends MemoryTable {
  readonly claims: Claim[] = [];

  override markInStep(monotonicMs: number): void {
    super.markInStep(monotonicMs);
    const held = [...this.live()].map(([hash, value]): [string, number] => [hash, Number(value.split(' ')[0])]);
    this.claims.push({ monotonicMs, held: new Map(held) });
  }
}

let server: RedisServer;
let redis: Redis;
let started: Running | undefined;

beforeEach(async () => {
  server = await RedisServer.start('--notify-keyspace-events', 'KA');
  redis = server.client();
  await addBackends(redis, 3);
});

afterEach(async () => {
  server.resume();
  await started?.sync.stop();
  await server.stop();
});

const SIDS = ['a', 'b', 'c', 'd', 'e', 'f'];

it.each([41, 42, 43, 44])('it is true whatever happens, seed %i', async (seed) => {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const table = new WitnessTable();
  const running = newSync(server, {
    table,
    feed: { from: 'notifications', stream: FEED, reconcileEveryMs: 50 },
    sessions: { prefix: PREFIX, backend: { in: 'value' } },
    tuning: {
      checkEveryMs: 10,
      pageSize: 2,
      gapSettleMs: 1,
      replyGraceMs: 100,
      pendingKeysMax: seed % 2 === 0 ? 4 : 1000,
      keysAtOnce: 1,
      reconcileShare: 1,
    },
  });
  started = running;
  /** Of each session, the backends that it was on (0: none), and until when, as late as it may have been. */
  const histories = new Map(SIDS.map((sid) => [cookieHash(sid), [{ backend: 0, untilMs: Number.POSITIVE_INFINITY }]]));
  /** Of these sessions at once. */
  const change = async (sids: readonly string[], backend: number, carryOut: () => Promise<unknown>): Promise<void> => {
    const changed = sids.map((sid) => histories.get(cookieHash(sid)) ?? []);
    const before = changed.map((history) => history.at(-1));
    // It may be seen before its reply is.
    for (const history of changed) history.push({ backend, untilMs: Number.POSITIVE_INFINITY });
    await carryOut();
    for (const state of before) if (state !== undefined) state.untilMs = systemRuntime.monotonicMs();
  };
  running.sync.start();
  for (let step = 0; step < 400; step++) {
    const sid = SIDS[below(SIDS.length)] as string;
    const backend = 1 + below(3);
    const dice = below(100);
    if (dice < 50) await change([sid], backend, () => redis.set(`sess:${sid}`, `web-${backend}`));
    else if (dice < 66) {
      const all = Object.fromEntries(SIDS.map((one) => [`sess:${one}`, `web-${backend}`]));
      await change(SIDS, backend, () => redis.mset(all));
    } else if (dice < 76) await change([sid], 0, () => redis.del(`sess:${sid}`));
    else if (dice < 79)
      await change(SIDS, 0, () =>
        redis.eval(`redis.call('DEL', unpack(KEYS))`, 6, ...SIDS.map((one) => `sess:${one}`)),
      );
    else if (dice < 82) {
      const backends = await redis.hgetall('gateway:backends');
      await change(SIDS, 0, () => redis.multi().flushall().hset('gateway:backends', backends).exec());
    } else if (dice < 84) await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    else if (dice < 86) await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    else if (dice < 87) {
      server.pause();
      await delay(below(150));
      server.resume();
    } else {
      const claims = table.claims.length;
      await until('said again', () => table.claims.length > claims);
    }
  }
  await untilInStep(running);
  expect(table.claims.length).toBeGreaterThan(10);
  for (const { monotonicMs, held } of table.claims) {
    for (const [hash, history] of histories) {
      const backend = held.get(hash) ?? 0;
      const wasHeld = history.some((state) => state.backend === backend && state.untilMs >= monotonicMs);
      expect(wasHeld, `said for ${monotonicMs}: ${hash} on ${backend}`).toBe(true);
    }
  }
  expect(running.sync.status().counts.resyncs.gap).toBeGreaterThan(0);
});
