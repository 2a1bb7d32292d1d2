/** What becomes of the sentinels' answers: sentinels that are played, and two real masters. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SyncError } from '../../../src/sync/errors.ts';
import type { Connection } from '../../../src/sync/redis/connection.ts';
import { redisTarget } from '../../../src/sync/redis/redis-target.ts';
import { Sentinels } from '../../../src/sync/redis/sentinels.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import { until } from '../harness.ts';
import { PlayedSentinel } from '../played-sentinel.ts';
import { freePorts, RedisNode } from '../redis-node.ts';

const { signal } = new AbortController();

let masters: RedisNode[];
let sentinels: PlayedSentinel[];
let target: ReturnType<typeof redisTarget>;

beforeEach(async () => {
  const ports = await freePorts(2, 23_600);
  masters = await Promise.all(ports.map((port) => RedisNode.start({ port })));
  sentinels = [0, 1, 2].map(() => new PlayedSentinel(ports[0] ?? 0));
  const nodes = await Promise.all(sentinels.map((sentinel) => sentinel.listen()));
  target = redisTarget({ sentinel: { name: 'main', nodes } }, systemRuntime);
});
afterEach(async () => {
  for (const sentinel of sentinels) sentinel.stop();
  await Promise.all(masters.map((master) => master.stop()));
});

const idNow = async (): Promise<string | undefined> => (await target.masters(signal))[0]?.id;
const nothingOpen = () => until('no connection is left', () => sentinels.every(({ sockets }) => sockets.size === 0));

describe('sentinels', () => {
  it('that differ are weighed by their epoch', async () => {
    const [first, second, third] = sentinels as [PlayedSentinel, PlayedSentinel, PlayedSentinel];
    const [old, next] = masters as [RedisNode, RedisNode];
    expect(await idNow()).toBe(old.address);
    second.answer = { host: '127.0.0.1', port: next.port, epoch: 2 };
    expect(await idNow()).toBe(next.address);
    third.answer = { host: '127.0.0.1', port: old.port, epoch: 3 };
    first.answer = null;
    expect(await idNow()).toBe(old.address);
    await nothingOpen();
  });

  it.each(['0', '65536', 'x', ''])('that name port %j are not believed', async (port) => {
    for (const sentinel of sentinels) sentinel.answer = { host: '127.0.0.1', port, epoch: 1 };
    await expect(idNow()).rejects.toMatchObject({
      code: 'NO_MASTER',
      message: expect.stringMatching(/no host and port/),
    });
  });

  it('that name another master have the connections to the old one dropped, and no others', async () => {
    const [old, next] = masters as [RedisNode, RedisNode];
    const connection = await target.openMaster('test', signal);
    const blocked = connection
      .call('XREAD', 'BLOCK', 60_000, 'STREAMS', 'feed', '0-0')
      .catch((error: unknown) => error);
    for (const sentinel of sentinels) sentinel.answer = { host: '127.0.0.1', port: next.port, epoch: 2 };
    expect(await blocked).toMatchObject({
      code: 'REDIS_CLOSED',
      message: `${old.address} is not the master any more: ${next.address} is`,
    });
    const again: Connection = await target.openMaster('test', signal);
    // Where all are gone the master that is known stays.
    for (const sentinel of sentinels) for (const socket of sentinel.sockets) socket.destroy();
    for (const sentinel of sentinels) sentinel.answer = null;
    await until('asked again', () => sentinels.every(({ sockets }) => sockets.size === 0));
    expect(await again.call('PING')).toEqual(Buffer.from('PONG'));
    again.drop();
    await until('ended', () => again.ended);
    await nothingOpen();
  });

  describe('of which one falls silent', () => {
    const held = async (nodes: PlayedSentinel[]): Promise<{ ask: () => Promise<string>; release: () => void }> => {
      const at = await Promise.all(nodes.map((sentinel) => sentinel.listen()));
      const asked = new Sentinels({ sentinel: { name: 'main', nodes: at } }, systemRuntime);
      const release = asked.hold();
      const ask = async (): Promise<string> =>
        asked.master(signal).then(
          ({ port }) => String(port),
          (error: SyncError) => error.code,
        );
      expect(await ask()).toBe('1');
      return { ask, release };
    };

    it('between two questions have the second one ended all the same', async () => {
      const played = new PlayedSentinel(1);
      const { ask, release } = await held([played]);
      played.replies = 3;
      const both = await Promise.all([ask(), ask()]);
      expect(both).toEqual(['1', 'NO_MASTER']);
      release();
      played.stop();
    });

    it('answer by those that are left, however often they are asked meanwhile', async () => {
      const played = [new PlayedSentinel(1), new PlayedSentinel(1)] as const;
      const { ask, release } = await held([...played]);
      played[0].replies = 0;
      let answer: string | null = null;
      const first = ask().then((found) => {
        answer = found;
      });
      const others: Promise<string>[] = [];
      for (let i = 0; i < 200 && answer === null; i++) {
        others.push(ask());
        await delay(50);
      }
      expect(answer).toBe('1');
      await first;
      expect(new Set(await Promise.all(others))).toEqual(new Set(['1']));
      release();
      for (const one of played) one.stop();
    });
  });

  it('that are asked twice at once, before there are connections, answer both', async () => {
    const [first] = sentinels as [PlayedSentinel];
    const ids = await Promise.all([idNow(), idNow(), idNow()]);
    expect(new Set(ids)).toEqual(new Set([masters[0]?.address]));
    expect(first.asked).toBe(6);
    await nothingOpen();
  });
});
