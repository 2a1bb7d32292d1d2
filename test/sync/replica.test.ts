/** A redis.url that leads to a replica, which takes over all of its master's data anew. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  addBackends,
  FEED,
  functionsOf,
  liveInRedis,
  newSync,
  type Running,
  until,
  untilInStep,
  untilReady,
} from './harness.ts';
import { freePorts, RedisNode } from './redis-node.ts';

let nodes: RedisNode[];
let master: Redis;
let replica: Redis;
let started: Running | undefined;

const SETTINGS = ['notify-keyspace-events KA', 'repl-backlog-size 16kb', 'repl-ping-replica-period 1'];

beforeEach(async () => {
  const ports = await freePorts(2, 24_700);
  nodes = await Promise.all(ports.map((port) => RedisNode.start({ port, settings: SETTINGS })));
  [master, replica] = nodes.map((node) => node.client()) as [Redis, Redis];
  await addBackends(master, 3);
});

afterEach(async () => {
  await started?.sync.stop();
  started = undefined;
  await Promise.all(nodes.map((node) => node.stop()));
});

const [MASTER, REPLICA] = [0, 1];
const node = (i: number | undefined): RedisNode => nodes[i ?? 0] as RedisNode;

function start(from: 'stream' | 'notifications'): Running {
  started = newSync(
    { url: `redis://${node(REPLICA).address}` },
    { feed: { from, stream: FEED, reconcileEveryMs: 3_600_000 } },
  );
  started.sync.start();
  return started;
}

async function replicate(): Promise<void> {
  await replica.replicaof('127.0.0.1', node(MASTER).port);
  await until('replicated', async () => (await replica.info('replication')).includes('master_link_status:up'));
}

it('is refused with notifications, of which it sends none then; once it is a master it is followed', async () => {
  await replicate();
  await replica.call('ACL', 'SETUSER', 'gateway', 'on', '>pass', '~*', '&*', '+@all', '-info');
  for (const login of ['', 'gateway:pass@']) {
    const refused = newSync(
      { url: `redis://${login}${node(REPLICA).address}` },
      { feed: { from: 'notifications', stream: FEED, reconcileEveryMs: 3_600_000 } },
    );
    started = refused;
    refused.sync.start();
    await until('told', () => refused.sync.status().lastError !== null);
    expect(refused.sync.status().lastError?.message).toBe(
      `${node(REPLICA).address}: found the role slave; allowed with feed.from: notifications: a master. Name it in redis.url, or sentinels in redis.sentinel`,
    );
    expect(refused.sync.status().ready).toBe(false);
    await refused.sync.stop();
  }
  await replica.replicaof('NO', 'ONE');
  const running = start('notifications');
  await untilReady(running);
  await replica.hset('sess:a', 'backend', 'web-1');
  await untilInStep(running);
  expect(running.table.live().size).toBe(1);
});

it('is left, with notifications, when it becomes a replica, and made up for when it is a master again', async () => {
  const running = start('notifications');
  await addBackends(replica, 3);
  await replica.hset('sess:old', 'backend', 'web-1');
  await untilReady(running);
  await master.hset('sess:new', 'backend', 'web-2');
  await replicate();
  await until('left', () => running.sync.status().lastError?.message.includes('found the role slave') ?? false);
  await until('not connected', () => running.sync.status().state === 'connecting');
  await replica.replicaof('NO', 'ONE');
  await untilInStep(running);
  expect(running.table.live()).toEqual(await liveInRedis(replica));
  expect(running.table.live().size).toBe(1);
});

it('is followed by the stream, through taking over all data anew', async () => {
  await replicate();
  const sessions = functionsOf(master);
  for (let i = 0; i < 300; i++) await sessions.sessionSet(`s${i}`, 'web-1', 3_600_000);
  const running = start('stream');
  await until('loaded', () => running.table.live().size === 300);
  const full = async (): Promise<number> => Number(/sync_full:(\d+)/.exec(await master.info('stats'))?.[1]);
  const before = await full();
  // More than the backlog holds, while the replica is away.
  node(REPLICA).pause();
  await master.call('CLIENT', 'KILL', 'TYPE', 'replica');
  for (let i = 0; i < 200; i++) await sessions.sessionDelete(`s${i}`);
  for (let i = 200; i < 300; i++) await sessions.sessionMove(`s${i}`, 'web-1', 'web-2');
  node(REPLICA).resume();
  await until('taken over anew', async () => (await full()) > before);
  await until('replicated', async () => (await replica.info('replication')).includes('master_link_status:up'));
  await untilInStep(running);
  expect(running.table.live()).toEqual(await liveInRedis(replica));
  expect(running.table.live().size).toBe(100);
});
