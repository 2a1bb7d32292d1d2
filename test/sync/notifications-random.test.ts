/** Plain writers, page boundaries, cut connections, restarts and flushes in random order: it always ends equal to Redis. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import type { BackendSource } from '../../src/sync/snapshot/session-forms.ts';
import { addBackends, FEED, liveInRedis, newSync, PREFIX, seeded, untilInStep } from './harness.ts';
import { RedisServer } from './redis-server.ts';

const SESSIONS = 200;
const STEPS = 1200;
/** Sessions that end soon end within this, ms. */
const SHORT_MS = 40;

const FORMS: readonly BackendSource[] = [
  { in: 'hash', field: 'backend' },
  { in: 'json', path: 'backend' },
  { in: 'value' },
];

let server: RedisServer | undefined;

afterEach(() => server?.stop());

/** Writes a session in one form. */
async function write(redis: Redis, form: BackendSource, key: string, backend: string): Promise<unknown> {
  if (form.in === 'hash') return redis.multi().del(key).hset(key, 'backend', backend).exec();
  return redis.set(key, form.in === 'json' ? JSON.stringify({ backend }) : backend, 'KEEPTTL');
}

it.each([1, 2, 3, 4, 5, 6])('everything at once, seed %i', async (seed) => {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const form = FORMS[seed % FORMS.length] as BackendSource;
  server = await RedisServer.start('--notify-keyspace-events', 'KA');
  const redis = server.client();
  await addBackends(redis, 3);
  for (let i = 0; i < SESSIONS; i++) await write(redis, form, `sess:s${i}`, `web-${1 + below(3)}`);
  const started = newSync(server, {
    feed: { from: 'notifications', stream: FEED, reconcileEveryMs: 20 + below(200) },
    sessions: { prefix: PREFIX, backend: form },
    tuning: {
      pageSize: 1 + below(30),
      reconcileShare: 0.5,
      gapSettleMs: 1,
      pendingKeysMax: 20 + below(200),
      keysAtOnce: 1 + below(50),
    },
  });
  started.sync.start();
  let pending: Promise<unknown>[] = [];
  const settle = async (): Promise<void> => {
    await Promise.allSettled(pending);
    pending = [];
  };
  const expectEqual = async (): Promise<void> => {
    await settle();
    // Whatever is about to end has ended.
    await delay(SHORT_MS);
    await untilInStep(started);
    expect(started.table.live()).toEqual(await liveInRedis(redis, PREFIX, form));
  };
  let equal = 0;
  try {
    for (let step = 0; step < STEPS; step++) {
      const key = `sess:s${below(SESSIONS)}`;
      const dice = below(1000);
      if (dice < 350) pending.push(write(redis, form, key, `web-${1 + below(4)}`));
      else if (dice < 550) pending.push(redis.del(key));
      else if (dice < 650) pending.push(redis.pexpire(key, 1 + below(SHORT_MS)));
      else if (dice < 750) pending.push(redis.pexpire(key, 600_000));
      else if (dice < 780) pending.push(redis.persist(key));
      else if (dice < 830) pending.push(redis.rename(key, `sess:s${below(SESSIONS)}`));
      else if (dice < 880) pending.push(redis.copy(key, `sess:s${below(SESSIONS)}`, 'REPLACE'));
      else if (dice < 900) pending.push(redis.rpush(key, 'x'));
      else if (dice < 970) started.table.collect();
      else if (dice < 975) pending.push(redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
      else if (dice < 980) pending.push(redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
      else if (dice < 984)
        pending.push(redis.hset('gateway:backends', 'web-4', `{"id":4,"address":"10.0.0.${below(9)}:1"}`));
      else if (dice < 987) pending.push(redis.script('FLUSH'));
      else if (dice < 990) {
        pending.push(redis.flushall());
        pending.push(redis.hset('gateway:backends', 'web-1', '{"id":1,"address":"10.0.0.1:1"}'));
      } else if (dice < 991) pending.push(redis.config('RESETSTAT'));
      else if (dice < 993) {
        await settle();
        if (below(2) === 0) await redis.save();
        await server.kill();
        await server.launch();
      } else if (dice < 997) {
        await expectEqual();
        equal += 1;
      } else await settle();
    }
    await expectEqual();
    expect(equal).toBeGreaterThan(0);
    expect(started.sync.status().counts.resyncs.gap).toBeGreaterThan(0);
  } finally {
    await started.sync.stop();
  }
});
