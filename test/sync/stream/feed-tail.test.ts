/** The feed's end, read from a Redis that the test plays. */
import { expect, it } from 'vitest';
import { Problems } from '../../../src/sync/problems.ts';
import { redisTarget } from '../../../src/sync/redis/redis-target.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import { PagesUnderWay } from '../../../src/sync/snapshot/page-changes.ts';
import { FeedEntries } from '../../../src/sync/stream/feed-entries.ts';
import { FeedTail } from '../../../src/sync/stream/feed-tail.ts';
import { KnownBackends } from '../../../src/sync/tables/known-backends.ts';
import { formatStreamId, parseStreamId } from '../../../src/sync/versions.ts';
import { cookieHash, FEED } from '../harness.ts';
import { MemoryTable } from '../memory-table.ts';
import { PlayedRedis } from '../played-redis.ts';
import type { Value } from '../replies.ts';

/** Never too late, however slow the machine. */
const runtime = { ...systemRuntime, monotonicMs: () => 0, timer: () => () => undefined };

it('applies nothing of a reply that comes when the feed has connected anew, and asks over another connection then', async () => {
  let opened = 1;
  let clients = 0;
  let answer: () => Value = () => [];
  const played = await PlayedRedis.start(([name, what]) => {
    if (name === 'XREVRANGE') return answer();
    if (`${name} ${what}`.toLowerCase() === 'client setname') clients += 1;
    return 'OK';
  });
  const stopping = new AbortController();
  try {
    const table = new MemoryTable();
    const parts = { table, backends: new KnownBackends(), problems: new Problems(runtime, () => undefined) };
    const ahead: string[] = [];
    const tail = new FeedTail({
      redis: redisTarget({ url: played.url }, runtime),
      stream: FEED,
      applied: () => parseStreamId('5-0'),
      epoch: () => 1,
      opened: () => opened,
      appliedAhead: (id) => ahead.push(formatStreamId(id)),
      entries: new FeedEntries({ ...parts, pages: new PagesUnderWay() }),
      flush: () => void table.flush(),
    });
    table.beginGeneration();
    table.commitGeneration();
    tail.start(stopping.signal);
    const read = () => tail.read(new Set([cookieHash('a')]), stopping.signal);
    const entry: Value = [['6-0', ['op', 'set', 'sid', 'a', 'backend', 'web-1', 'expires', '0']]];
    answer = () => {
      opened += 1;
      return entry;
    };
    await expect(read()).rejects.toMatchObject({ code: 'REDIS_CLOSED' });
    expect(table.lookup(cookieHash('a'))).toBeUndefined();
    answer = () => entry;
    await read();
    await read();
    expect(table.lookup(cookieHash('a'))).toMatchObject({ ms: 6, seq: 0 });
    expect(ahead).toEqual(['6-0', '6-0']);
    expect(clients).toBe(2);
  } finally {
    stopping.abort();
    await played.stop();
  }
});
