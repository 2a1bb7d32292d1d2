/** That the table is in step with a moment is said only where it holds what Redis held at that moment, or later. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Functions } from '../../src/sync/redis/functions.ts';
import { systemRuntime } from '../../src/sync/runtime.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  functionsOf,
  newSync,
  type Running,
  seeded,
  until,
  untilInStep,
} from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

/** Remembers what it held each time that it was said to be in step. */
class WitnessTable extends MemoryTable {
  readonly claims: { readonly monotonicMs: number; readonly held: string }[] = [];

  override markInStep(monotonicMs: number): void {
    super.markInStep(monotonicMs);
    this.claims.push({
      monotonicMs,
      held: text([...this.live()].map(([hash, value]) => [hash, Number.parseInt(value, 10)])),
    });
  }
}

const text = (sessions: [string, number][]): string =>
  sessions
    .map(([hash, backend]) => `${hash}=${backend}`)
    .sort()
    .join();

let server: RedisServer;
let redis: Redis;
let functions: Functions;
let started: Running | undefined;

beforeEach(async () => {
  server = await RedisServer.start();
  redis = server.client();
  functions = functionsOf(redis);
  await addBackends(redis, 3);
});

afterEach(async () => {
  server.resume();
  await started?.sync.stop();
  await server.stop();
});

it('is said after a check only, since an entry that was read does not show that none was missed', async () => {
  started = newSync(server, { tuning: { checkEveryMs: 3_600_000 } });
  const { sync, table } = started;
  sync.start();
  await until('ready', () => sync.status().ready);
  const before = table.inStepMs;
  expect(before).not.toBeNull();
  for (let i = 0; i < 10; i++) {
    await functions.sessionSet(`s${i}`, 'web-1', 600_000);
    await until('applied', () => table.lookup(cookieHash(`s${i}`)) !== undefined);
  }
  expect(table.inStepMs).toBe(before);
});

it.each([31, 32, 33])('is true whatever happens, seed %i', async (seed) => {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const table = new WitnessTable();
  const running = newSync(server, {
    table,
    tuning: { checkEveryMs: 15, blockMs: 10, resyncBlockMs: 5, pageSize: 2, gapSettleMs: 1, replyGraceMs: 100 },
  });
  started = running;
  const sessions = new Map<string, number>();
  /** What Redis held from one moment to another, each as early and as late as it may have been. */
  const states = [{ held: '', untilMs: Number.POSITIVE_INFINITY }];
  const change = async (sid: string, backend: number, carryOut: () => Promise<unknown>): Promise<void> => {
    const hash = cookieHash(sid);
    if (backend === 0) sessions.delete(hash);
    else sessions.set(hash, backend);
    const before = states.at(-1);
    // It may be seen before its reply is.
    states.push({ held: text([...sessions]), untilMs: Number.POSITIVE_INFINITY });
    await carryOut();
    if (before !== undefined) before.untilMs = systemRuntime.monotonicMs();
  };
  running.sync.start();
  for (let step = 0; step < 300; step++) {
    const sid = `s${below(6)}`;
    const backend = 1 + below(3);
    const dice = below(100);
    const write = () => redis.multi().hset(`sess:${sid}`, 'backend', `web-${backend}`);
    const entry = ['op', 'set', 'sid', sid, 'backend', `web-${backend}`, 'expires', '0'] as const;
    if (dice < 55)
      await change(sid, backend, () =>
        write()
          .xadd(FEED, '*', ...entry)
          .exec(),
      );
    else if (dice < 72) await change(sid, 0, () => functions.sessionDelete(sid));
    else if (dice < 75) await change(sid, 0, () => redis.multi().del(`sess:${sid}`).del(FEED).exec());
    else if (dice < 78)
      await change(sid, backend, () =>
        write()
          .xadd(FEED, '*', ...entry)
          .xtrim(FEED, 'MAXLEN', 0)
          .exec(),
      );
    else if (dice < 81) {
      const id = `${4_000_000_000_000 + step}-0`;
      await change(sid, backend, () =>
        write()
          .xadd(FEED, id, ...entry)
          .xdel(FEED, id)
          .exec(),
      );
    } else if (dice < 84) await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    else if (dice < 86) {
      server.pause();
      const due = systemRuntime.monotonicMs() + below(150);
      await until('a while', () => systemRuntime.monotonicMs() > due);
      server.resume();
    } else {
      const claims = table.claims.length;
      await until('said again', () => table.claims.length > claims);
    }
  }
  await untilInStep(running);
  expect(table.claims.length).toBeGreaterThan(10);
  for (const { monotonicMs, held } of table.claims) {
    const wasHeld = states.some((state) => state.held === held && state.untilMs >= monotonicMs);
    expect(wasHeld, `said for ${monotonicMs}: ${held}`).toBe(true);
  }
  expect(running.sync.status().counts.resyncs.gap).toBeGreaterThan(0);
});
