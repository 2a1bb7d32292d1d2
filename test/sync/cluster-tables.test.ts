/** Revocations, facts and backends in a Redis Cluster: each table at the master that has its slot, also while that moves. */
import { isDeepStrictEqual } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { hashSlot, SLOTS } from '../../src/sync/redis/hash-slot.ts';
import { ClusterSetup } from './cluster-setup.ts';
import { cookieHash, FEED, factsIn, NAMES, newSync, type Running, until, untilInStep, untilReady } from './harness.ts';
import type { RedisNode } from './redis-node.ts';

const FOR_GOOD = 253_402_300_799_999;

let setup: ClusterSetup | undefined;
let running: Running | undefined;

afterEach(async () => {
  await running?.sync.stop();
  await setup?.stop();
});

it('are read where they are', { timeout: 90_000 }, async () => {
  const cluster = await ClusterSetup.start(29_000, { settings: () => ['notify-keyspace-events Kg$hzxe'] });
  setup = cluster;
  const client = cluster.client();
  const [denied, facts, ids, backends] = ['denied', 'facts', 'fact-ids', 'backends'].map((name) => NAMES + name) as [
    string,
    string,
    string,
    string,
  ];
  const masterAt = (key: string): number => Math.floor(hashSlot(key) / Math.ceil(SLOTS / cluster.masters.length));
  // Else this test shows nothing.
  expect(new Set([denied, facts, ids, backends].map(masterAt)).size).toBeGreaterThan(1);
  const entry = (shed: number): string => JSON.stringify({ id: 1, address: '10.0.0.1:80', shed });
  await client.hset(backends, 'web-1', entry(0));
  for (let i = 0; i < 200; i++) await client.zadd(denied, FOR_GOOD, cookieHash(`s${i}`));

  const feed = { from: 'notifications' as const, stream: FEED, reconcileEveryMs: 3_600_000 };
  const started = newSync({ url: '' }, { redis: cluster.config, feed });
  running = started;
  started.sync.start();
  await untilReady(started);
  const hashes = new Set(Array.from({ length: 200 }, (_, i) => cookieHash(`s${i}`)));
  /** Changes each table, and waits until the gateway has that. */
  const change = async (step: number): Promise<void> => {
    await client.zadd(denied, FOR_GOOD, cookieHash(`new-${step}`));
    await client.zrem(denied, cookieHash(`s${step}`));
    hashes.add(cookieHash(`new-${step}`));
    hashes.delete(cookieHash(`s${step}`));
    await client.hset(ids, 'epoch', `${step + 1}-0`);
    await client.hset(facts, 'epoch', `v${step}`);
    await client.hset(backends, 'web-1', entry(step));
    await until(`step ${step}`, () =>
      isDeepStrictEqual(
        [new Set(started.table.denied().keys()), factsIn(started.table), started.table.backends[0]?.shed],
        [hashes, new Map([[cookieHash('epoch'), `v${step} as of ${step + 1}-0`]]), step],
      ),
    );
  };
  await change(0);
  await untilInStep(started);

  for (const [i, key] of [denied, facts, ids, backends].entries()) {
    const from = cluster.masters[masterAt(key)] as RedisNode;
    const to = cluster.masters[(masterAt(key) + 1) % cluster.masters.length] as RedisNode;
    await cluster.moveSlot(hashSlot(key), from, to, async () => {
      // Half-way there is no such table at the old owner: what is made anew is at the new one.
      if (key === facts) await client.del(facts);
      await change(2 * i + 1);
    });
    await cluster.agreed(cluster.masters);
    await change(2 * i + 2);
  }
  await untilInStep(started);
  expect(started.sync.status().counts.problems).toMatchObject({ 'denied-table': 0, 'facts-table': 0 });
  expect(started.sync.status().counts.resyncs).toMatchObject({ start: 1, gap: 0 });
});
