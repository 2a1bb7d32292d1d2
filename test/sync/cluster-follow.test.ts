/** A Redis Cluster followed by notifications: slots that move under writes, and a master that dies. */
import { isDeepStrictEqual } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { hashSlot, SLOTS } from '../../src/sync/redis/hash-slot.ts';
import { ClusterSetup } from './cluster-setup.ts';
import {
  cookieHash,
  FEED,
  NAMES,
  newSync,
  PREFIX,
  type Running,
  seeded,
  until,
  untilInStep,
  untilReady,
} from './harness.ts';
import type { RedisNode } from './redis-node.ts';

const SESSIONS = 200;
const EVENTS = 'notify-keyspace-events Kg$hzxe';

let setup: ClusterSetup;
const running: Running[] = [];
afterEach(async () => {
  try {
    await Promise.all(running.splice(0).map(({ sync }) => sync.stop()));
  } finally {
    await setup?.stop();
  }
});

function start(): Running {
  const feed = { from: 'notifications' as const, stream: FEED, reconcileEveryMs: 3_600_000 };
  const started = newSync({ url: '' }, { redis: setup.config, feed });
  running.push(started);
  started.sync.start();
  return started;
}

async function begin(replicas = 0): Promise<void> {
  setup = await ClusterSetup.start(23_500, { replicas, settings: () => [EVENTS] });
  for (let id = 1; id <= 3; id++) {
    const entry = JSON.stringify({ id, address: `10.0.0.${id}:80` });
    await setup.client().hset(`${NAMES}backends`, `web-${id}`, entry);
  }
  for (let i = 0; i < SESSIONS; i++) await write(`s${i}`, 1);
}

async function write(sid: string, backend: number): Promise<void> {
  await setup.client().hset(`${PREFIX}${sid}`, 'backend', `web-${backend}`);
  if (backend === 2) await setup.client().pexpire(`${PREFIX}${sid}`, 3_600_000);
}

/** Writes and deletes at random for as long as `isOver` says no; at most 20,000 times. */
async function writeUntil(isOver: () => boolean): Promise<void> {
  const random = seeded(7);
  for (let i = 0; i < 20_000 && !isOver(); i++) {
    const sid = `s${Math.floor(random() * 2 * SESSIONS)}`;
    if (random() < 0.3) await setup.client().del(`${PREFIX}${sid}`);
    else await write(sid, 1 + Math.floor(random() * 3));
  }
}

/** In the form of MemoryTable.live(), read node by node. */
async function live(masters: readonly RedisNode[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const node of masters) {
    for (const key of await node.client().keys(`${PREFIX}*`)) {
      const id = (await node.client().hget(key, 'backend'))?.replace('web-', '');
      const expiresMs = Number(await node.client().call('PEXPIRETIME', key));
      found.set(cookieHash(key.slice(PREFIX.length)), `${id} until ${Math.max(expiresMs, 0)}`);
    }
  }
  return found;
}

async function expectEqual(started: Running, masters: readonly RedisNode[]): Promise<void> {
  const expected = await live(masters);
  await until('the table is what the cluster holds', () => isDeepStrictEqual(started.table.live(), expected));
  await untilInStep(started);
  expect(started.table.live()).toEqual(expected);
}

function ownerOf(slot: number): RedisNode {
  const owner = setup.masters[Math.floor(slot / Math.ceil(SLOTS / setup.masters.length))];
  if (owner === undefined) throw new Error('no owner');
  return owner;
}

describe('a cluster', { timeout: 60_000 }, () => {
  it('is followed by two gateways alike while slots move under writes', async () => {
    await begin();
    const both = [start(), start()];
    for (const one of both) await untilReady(one);
    for (const one of both) await expectEqual(one, setup.masters);

    let moved = false;
    const writing = writeUntil(() => moved);
    for (let i = 0; i < 8; i++) {
      const slot = hashSlot(`${PREFIX}s${i}`);
      const from = ownerOf(slot);
      const to = setup.masters[(setup.masters.indexOf(from) + 1) % setup.masters.length] as RedisNode;
      // Half-way a key is gone from the old owner, and another one is made at the new one.
      await setup.moveSlot(slot, from, to, async () => {
        await setup.client().del(`${PREFIX}s${i}`);
        await write(`s${i}`, 3);
      });
    }
    moved = true;
    await writing;
    for (const one of both) await expectEqual(one, setup.masters);
    expect(both[0]?.table.live()).toEqual(both[1]?.table.live());
  });

  it('is followed over the death of a master, whose replica takes its place', async () => {
    await begin(1);
    const started = start();
    await untilReady(started);
    const [first, ...others] = setup.masters;
    const [replica] = setup.replicas;
    if (first === undefined || replica === undefined) throw new Error('a master with a replica is needed');
    await until('replicated', async () => (await first.client().wait(1, 1000)) === 1);
    await expectEqual(started, setup.masters);

    await first.kill();
    const masters = [replica, ...others];
    await setup.agreed(masters, masters);
    for (let i = 0; i < 50; i++) await write(`t${i}`, 3);
    for (let i = 0; i < 50; i++) await setup.client().del(`${PREFIX}s${i}`);
    await expectEqual(started, masters);

    // It comes back as a replica of the one that took its place.
    await first.launch();
    await setup.agreed(masters);
    await write('u1', 2);
    await expectEqual(started, masters);
  });

  it('is not followed as long as a slot has no owner', async () => {
    await begin();
    const started = start();
    await untilReady(started);
    const before = started.table.live();
    expect(before.size).toBe(SESSIONS);
    const slot = hashSlot(`${PREFIX}s0`);
    for (const node of setup.masters) await node.client().call('CONFIG', 'SET', 'cluster-require-full-coverage', 'no');
    for (const node of setup.masters) await node.client().call('CLUSTER', 'DELSLOTS', slot);
    await until('told', () => started.sync.status().lastError?.message.includes('have no owner') === true);
    expect(started.table.live()).toEqual(before);
    await ownerOf(slot).client().call('CLUSTER', 'ADDSLOTS', slot);
    await setup.agreed(setup.masters);
    await expectEqual(started, setup.masters);
  });

  it('is not in step while its nodes disagree on who has a slot, and says so', async () => {
    await begin();
    const started = start();
    await untilReady(started);
    const slot = hashSlot(`${PREFIX}new`);
    const from = ownerOf(slot);
    const to = setup.masters[(setup.masters.indexOf(from) + 1) % setup.masters.length] as RedisNode;
    const [fromId, toId] = await Promise.all([from, to].map((node) => node.client().call('CLUSTER', 'MYID')));
    // The new owner's name is made known before it is that: each of the two sends everybody to the other one.
    await from.client().call('CLUSTER', 'SETSLOT', slot, 'NODE', String(toId));
    await to.client().call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(fromId));
    await to.client().pipeline().call('ASKING').hset(`${PREFIX}new`, 'backend', 'web-1').exec();
    await until('told', () => started.sync.status().lastError?.message.includes('disagree') === true);
    const { inStepMs } = started.sync.status();
    for (const node of [to, ...setup.masters]) {
      await node.client().call('CLUSTER', 'SETSLOT', slot, 'NODE', String(toId));
    }
    await setup.agreed(setup.masters);
    await expectEqual(started, setup.masters);
    expect(started.sync.status().inStepMs).toBeGreaterThan(inStepMs ?? 0);
  });
});
