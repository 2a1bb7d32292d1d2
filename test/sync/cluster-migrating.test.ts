/** A first load, and changes, while a slot of a cluster is half-way from one node to another. */
import { afterEach, expect, it } from 'vitest';
import { hashSlot, SLOTS } from '../../src/sync/redis/hash-slot.ts';
import { ClusterSetup } from './cluster-setup.ts';
import { cookieHash, FEED, NAMES, newSync, PREFIX, type Running, until, untilInStep, untilReady } from './harness.ts';
import type { RedisNode } from './redis-node.ts';

/** A hash tag: these sessions share a slot. */
const sid = (i: number): string => `{tag}${i}`;
const SESSIONS = 20;

let setup: ClusterSetup | undefined;
let running: Running | undefined;

afterEach(async () => {
  await running?.sync.stop();
  await setup?.stop();
});

it('a slot that is half-way is read at both ends', { timeout: 60_000 }, async () => {
  setup = await ClusterSetup.start(22_500, { settings: () => ['notify-keyspace-events Kg$hzxe'] });
  const client = setup.client();
  for (let id = 1; id <= 3; id++) {
    await client.hset(`${NAMES}backends`, `web-${id}`, JSON.stringify({ id, address: `10.0.0.${id}:80` }));
  }
  for (let i = 0; i < SESSIONS; i++) await client.hset(PREFIX + sid(i), 'backend', 'web-1');
  await client.hset(`${PREFIX}elsewhere`, 'backend', 'web-1');

  const slot = hashSlot(PREFIX + sid(0));
  const at = Math.floor(slot / Math.ceil(SLOTS / setup.masters.length));
  const from = setup.masters[at] as RedisNode;
  const to = setup.masters[(at + 1) % setup.masters.length] as RedisNode;
  const idOf = async (node: RedisNode): Promise<string> => String(await node.client().call('CLUSTER', 'MYID'));
  await to.client().call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from));
  await from.client().call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to));
  const migrate = async (keys: readonly string[]): Promise<void> => {
    await from.client().call('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
  };
  const all = Array.from({ length: SESSIONS }, (_, i) => PREFIX + sid(i));
  await migrate(all.slice(0, SESSIONS / 2));
  expect(await to.client().dbsize()).toBeGreaterThanOrEqual(SESSIONS / 2);

  const feed = { from: 'notifications' as const, stream: FEED, reconcileEveryMs: 3_600_000 };
  running = newSync({ url: '' }, { redis: setup.config, feed });
  const { sync, table } = running;
  sync.start();
  await untilReady(running);
  await untilInStep(running);
  expect(table.live().size).toBe(SESSIONS + 1);

  // The client is redirected, since the first half is at the new end already, and so is a session that is new.
  await client.hset(PREFIX + sid(0), 'backend', 'web-2');
  await client.del(PREFIX + sid(1));
  await client.hset(PREFIX + sid(SESSIONS - 1), 'backend', 'web-3');
  await client.hset(PREFIX + sid(SESSIONS), 'backend', 'web-3');
  await untilInStep(running);
  const backendOf = (i: number): number | undefined => table.lookup(cookieHash(sid(i)))?.backendId;
  expect([0, 1, 2, SESSIONS - 1, SESSIONS].map(backendOf)).toEqual([2, undefined, 1, 3, 3]);
  expect(table.live().size).toBe(SESSIONS + 1);

  await migrate(all);
  for (const node of [to, from]) await node.client().call('CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to));
  await client.del(PREFIX + sid(2));
  await untilInStep(running);
  expect(table.live().size).toBe(SESSIONS);
  // Keys may also move in other ways, so once more all is compared.
  await until('compared', () => sync.status().lastResync?.reason === 'reconcile');
  expect(table.live().size).toBe(SESSIONS);
  expect(sync.status().counts.resyncs).toMatchObject({ start: 1, gap: 0 });
});
