/** Questions about single sessions while another server takes over, one that has not all of the feed, too. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FeedHolder } from './feed-holder.ts';
import { addBackends, cookieHash, FEED, functionsOf, newSync, type Running, until, untilInStep } from './harness.ts';
import { freePorts, RedisNode } from './redis-node.ts';

let nodes: RedisNode[];
let master: Redis;
let replica: Redis;
let holder: FeedHolder;
let running: Running;

beforeEach(async () => {
  const ports = await freePorts(2, 24_900);
  nodes = await Promise.all(ports.map((port) => RedisNode.start({ port })));
  [master, replica] = nodes.map((node) => node.client()) as [Redis, Redis];
  await replica.replicaof('127.0.0.1', ports[0] as number);
  await addBackends(master, 1);
  await functionsOf(master).sessionSet('kept', 'web-1', 3_600_000);
  holder = new FeedHolder({ host: '127.0.0.1', port: ports[0] as number });
});

afterEach(async () => {
  await running?.sync.stop();
  holder?.close();
  await Promise.all(nodes.map((node) => node.stop()));
});

async function start(login = ''): Promise<void> {
  const port = await holder.listen();
  running = newSync(
    { url: `redis://${login}127.0.0.1:${port}` },
    {
      asks: true,
      feed: { stream: FEED, reconcileEveryMs: 3_600_000 },
      tuning: { replyGraceMs: 30_000 },
    },
  );
  running.sync.start();
  await untilInStep(running);
}

/** From here on the replica is a master that gets nothing more from the other one. */
async function promote(): Promise<void> {
  const [position] = (await master.xrevrange(FEED, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  await until('replicated', async () => (await replica.xrange(FEED, position[0], position[0])).length === 1);
  await replica.replicaof('NO', 'ONE');
}

/** The other server is where the name leads to. */
async function failOver(): Promise<void> {
  holder.leadTo({ host: '127.0.0.1', port: (nodes[1] as RedisNode).port });
  holder.release();
  holder.cut();
  await untilInStep(running);
}

const ask = (sid: string): Promise<void> => until('asked', () => running.sync.ask(cookieHash(sid)));
const isFound = (sid: string): boolean => running.table.lookup(cookieHash(sid)) !== undefined;
const gaps = (): unknown[] => running.lines.filter(({ event }) => event === 'gap').map(({ fields }) => fields['kind']);

for (const mayTell of [true, false]) {
  const who = mayTell ? 'by its replication id' : 'by the new connection, where Redis does not tell its replication id';
  test(`a server that lacks what was applied before its turn is known ${who}, and all is read anew`, async () => {
    for (const node of [master, replica])
      await node.call('ACL', 'SETUSER', 'gateway', 'on', '>pass', '~*', '&*', '+@all', ...(mayTell ? [] : ['-info']));
    await start('gateway:pass@');
    await promote();
    holder.hold();
    await functionsOf(master).sessionSet('lost', 'web-1', 3_600_000);
    await functionsOf(master).sessionDelete('kept');
    await ask('lost');
    await ask('kept');
    expect([isFound('lost'), isFound('kept')]).toEqual([true, false]);
    await failOver();
    expect([isFound('lost'), isFound('kept')]).toEqual([false, true]);
    expect(gaps()).toEqual(['other-history']);
  });

  test(`where it came in its turn, too, nothing is read anew: known ${who}`, async () => {
    for (const node of [master, replica])
      await node.call('ACL', 'SETUSER', 'gateway', 'on', '>pass', '~*', '&*', '+@all', ...(mayTell ? [] : ['-info']));
    await start('gateway:pass@');
    holder.hold();
    await functionsOf(master).sessionSet('new', 'web-1', 3_600_000);
    await ask('new');
    holder.release();
    await untilInStep(running);
    await promote();
    await failOver();
    expect(isFound('new')).toBe(true);
    expect(gaps()).toEqual([]);
  });
}

test('questions go to the server that the feed has gone to, though the one before still answers', async () => {
  await start();
  await promote();
  await ask('nobody');
  holder.leadTo({ host: '127.0.0.1', port: (nodes[1] as RedisNode).port });
  holder.cutFeed();
  await untilInStep(running);
  holder.hold();
  await functionsOf(replica).sessionSet('new', 'web-1', 3_600_000);
  await ask('new');
  expect(isFound('new')).toBe(true);
  expect(gaps()).toEqual([]);
});
