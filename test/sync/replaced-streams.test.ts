/**
 * Everything that can become of the feed's stream, with a real Redis: it is noticed, everything is read again, and the
 * sessions that exist before and after are answered at every moment in between.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { ChainableCommander, Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Problems } from '../../src/sync/problems.ts';
import { redisTarget } from '../../src/sync/redis/redis-target.ts';
import { systemRuntime } from '../../src/sync/runtime.ts';
import { Feed } from '../../src/sync/stream/feed.ts';
import { BackendsTable } from '../../src/sync/tables/backends-table.ts';
import { DeniedTable } from '../../src/sync/tables/denied-table.ts';
import { FactsTable } from '../../src/sync/tables/facts-table.ts';
import { DEFAULT_TUNING } from '../../src/sync/tuning.ts';
import { parseStreamId } from '../../src/sync/versions.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  liveInRedis,
  NAMES,
  newSync,
  type Running,
  TEST_TUNING,
  until,
  untilInStep,
} from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisProxy } from './proxy.ts';
import { RedisServer } from './redis-server.ts';

const SESSIONS = 120;
/** Of the stream at the start. */
const ADDED = 20;
/** No test touches these, so they are answered throughout. */
const KEPT = Array.from({ length: 40 }, (_, i) => cookieHash(`s${80 + i}`));

/** Counts the moments at which a session that exists throughout isn't answered. */
class WatchedTable extends MemoryTable {
  watched: readonly string[] = [];
  blanked = 0;

  override flush(): ReturnType<MemoryTable['flush']> {
    const counts = super.flush();
    this.#look();
    return counts;
  }

  override commitGeneration(): void {
    super.commitGeneration();
    this.#look();
  }

  override beginGeneration(): void {
    super.beginGeneration();
    this.#look();
  }

  #look(): void {
    if (this.watched.some((hash) => this.lookup(hash) === undefined)) this.blanked += 1;
  }
}

let server: RedisServer;
let redis: Redis;
let table: WatchedTable;
let started: Running | undefined;
const ended: (() => Promise<void>)[] = [];

beforeEach(async () => {
  server = await RedisServer.start('--enable-debug-command', 'yes', '--databases', '2');
  redis = server.client();
  await fill(redis);
});

afterEach(async () => {
  await started?.sync.stop();
  started = undefined;
  for (const end of ended.splice(0).reverse()) await end();
  await server.stop();
});

/** Backends, sessions and `ADDED` entries whose ids are 1000-0, 1001-0, … */
async function fill(to: Redis, backend = 'web-1'): Promise<void> {
  await addBackends(to, 3);
  await to.del(FEED);
  const pipeline = to.pipeline();
  for (let i = 0; i < SESSIONS; i++) pipeline.hset(`sess:s${i}`, 'backend', backend);
  for (let i = 0; i < ADDED; i++) add(pipeline, `${1000 + i}-0`, 's79', backend);
  await pipeline.exec();
}

const LAST = `${1000 + ADDED - 1}-0`;

/** Adds an entry only. */
function add(to: ChainableCommander, id: string, sid: string, backend: string): ChainableCommander {
  return to.xadd(FEED, id, 'op', 'set', 'sid', sid, 'backend', backend, 'expires', '0');
}

/** Changes a session and adds its entry. */
function set(to: ChainableCommander, id: string, sid: string, backend: string): ChainableCommander {
  return add(to.hset(`sess:${sid}`, 'backend', backend), id, sid, backend);
}

async function follow(options: Parameters<typeof newSync>[1] = {}, url = server.url): Promise<Running> {
  table = new WatchedTable();
  const running = newSync({ url }, { table, ...options });
  started = running;
  running.sync.start();
  await until('ready', () => running.sync.status().ready);
  table.watched = KEPT;
  return running;
}

const kinds = (): unknown[] =>
  started?.lines.filter(({ event }) => event === 'gap').map(({ fields }) => fields['kind']) ?? [];

async function expectEqual(from = redis): Promise<void> {
  if (started === undefined) throw new Error('not started');
  const { sync } = started;
  await until('following', () => sync.status().state === 'following');
  await untilInStep(started);
  expect(table.live()).toEqual(await liveInRedis(from));
  expect(table.blanked).toBe(0);
}

async function noticed(...allowed: string[]): Promise<void> {
  await until(`noticed, not ${kinds()}`, () => kinds().length > 0);
  expect(allowed).toContain(kinds()[0]);
  await expectEqual();
}

type Change = (multi: ChainableCommander, dump: Buffer) => ChainableCommander;

/** Adds so many entries from an id on, which change s1, s2, …, and loses the deletion of s0. */
const recreate =
  (entries: number, firstMs: number): Change =>
  (multi) => {
    multi.del(FEED, 'sess:s0');
    for (let i = 0; i < entries; i++) set(multi, `${firstMs + i}-0`, `s${1 + (i % 30)}`, 'web-2');
    return multi;
  };

const many = (multi: ChainableCommander, number: number): ChainableCommander => {
  for (let i = 0; i < number; i++) set(multi, `${2000 + i}-0`, `s${i % 70}`, 'web-3');
  return multi;
};

/**
 * Each is one MULTI, so that the follower sees its end only; which of the signs it sees first depends on whether a
 * blocking read comes before the check.
 */
const cases: [title: string, kinds: string[], change: Change][] = [
  ['trimmed to nothing', ['trimmed'], (m) => many(m, 5).xtrim(FEED, 'MAXLEN', 0)],
  ['trimmed to fewer than are unread', ['trimmed', 'count-differs'], (m) => many(m, 10).xtrim(FEED, 'MAXLEN', 3)],
  ['trimmed by id', ['trimmed', 'count-differs'], (m) => many(m, 10).xtrim(FEED, 'MINID', '2003-0')],
  ['trimmed about', ['trimmed', 'count-differs'], (m) => many(m, 450).xtrim(FEED, 'MAXLEN', '~', 150)],
  ['deleted', ['last-id-went-back'], (m) => m.del(FEED, 'sess:s1')],
  ['made anew: fewer entries, lower ids', ['last-id-went-back'], recreate(10, 1)],
  ['made anew: as many entries, lower ids', ['last-id-went-back'], recreate(ADDED, 1)],
  ['made anew: more entries, lower ids', ['last-id-went-back'], recreate(40, 1)],
  ['made anew: fewer entries, the same last id', ['count-went-back'], recreate(10, 1000 + ADDED - 10)],
  ['made anew: as many entries, the same ids', ['replaced'], recreate(ADDED, 1000)],
  ['made anew: more entries, the same last id', ['replaced'], recreate(40, 1000 + ADDED - 40)],
  ['made anew: fewer entries, higher ids', ['replaced', 'count-differs', 'count-went-back'], recreate(10, 3000)],
  ['made anew: as many entries, higher ids', ['replaced', 'count-differs', 'count-went-back'], recreate(ADDED, 3000)],
  ['made anew: more entries, higher ids', ['replaced', 'count-differs', 'count-went-back'], recreate(40, 3000)],
  [
    'made anew: numbers that fit in every way',
    ['replaced'],
    (m) => {
      recreate(ADDED, 900)(m, Buffer.alloc(0));
      return set(set(m, '3000-0', 's40', 'web-2'), '3001-0', 's41', 'web-2');
    },
  ],
  [
    'rolled back',
    ['last-id-went-back'],
    (m, dump) => m.restore(FEED, 0, dump, 'REPLACE').hset('sess:s1', 'backend', 'web-2'),
  ],
  [
    'rolled back, and as many entries added as were lost, by a clock that is behind',
    ['replaced'],
    (m, dump) => {
      m.restore(FEED, 0, dump, 'REPLACE').hset('sess:s1', 'backend', 'web-3');
      for (let i = 0; i < 5; i++) set(m, `1015-${i + 1}`, `s${i + 10}`, 'web-2');
      return set(m, '3000-0', 's30', 'web-2');
    },
  ],
  [
    'rolled back, and the same ids given again',
    ['replaced'],
    (m, dump) => {
      m.restore(FEED, 0, dump, 'REPLACE');
      for (let i = 15; i < ADDED; i++) set(m, `${1000 + i}-0`, `s${i}`, 'web-2');
      return m;
    },
  ],
  ['robbed of its newest entry', ['deleted'], (m) => many(m, 5).xdel(FEED, '2004-0')],
  ['robbed of its oldest unread entry', ['deleted', 'count-differs'], (m) => many(m, 5).xdel(FEED, '2000-0')],
  ['robbed of one in the middle', ['deleted', 'count-differs'], (m) => many(m, 5).xdel(FEED, '2002-0')],
  [
    'set to a later id and number',
    ['count-differs'],
    (m) => m.del('sess:s1').call('XSETID', FEED, '5000-0', 'ENTRIESADDED', '30', 'MAXDELETEDID', '0-0') as never,
  ],
  [
    'set to a lower number',
    ['count-went-back'],
    (m) =>
      m
        .del('sess:s1')
        .xtrim(FEED, 'MAXLEN', 5)
        .call('XSETID', FEED, LAST, 'ENTRIESADDED', '7', 'MAXDELETEDID', '0-0') as never,
  ],
  [
    'another stream, renamed',
    ['replaced'],
    (m) => {
      for (let i = 0; i < ADDED; i++) m.xadd('other', `${1000 + i}-0`, 'op', 'backends');
      return m.rename('other', FEED).del('sess:s1');
    },
  ],
];

describe('a stream that was', () => {
  it.each(cases)('%s', async (_title, allowed, change) => {
    // As of five entries before the end.
    const dump = await (async () => {
      await redis.copy(FEED, 'copy', 'REPLACE');
      await redis.del(FEED);
      const multi = redis.multi();
      for (let i = 0; i < ADDED - 5; i++) add(multi, `${1000 + i}-0`, 's79', 'web-1');
      await multi.exec();
      const bytes = await redis.dumpBuffer(FEED);
      await redis.rename('copy', FEED);
      return bytes;
    })();
    await follow();
    await change(redis.multi(), dump).exec();
    await noticed(...allowed);
    // And on it goes, from the new stream.
    await set(redis.multi(), '*', 's1', 'web-1').exec();
    await until('followed', () => table.lookup(cookieHash('s1'))?.backendId === 1);
    await expectEqual();
    expect(kinds()).toHaveLength(1);
  });

  it('of another type for a while', async () => {
    const { sync } = await follow();
    await redis.multi().rename(FEED, 'kept').set(FEED, 'x').exec();
    await until('told', () => sync.status().lastError?.message.includes('WRONGTYPE') ?? false);
    expect(sync.status().state).not.toBe('following');
    await set(redis.multi().rename('kept', FEED), '*', 's1', 'web-2').exec();
    await expectEqual();
    expect(kinds()).toEqual([]);
  });
});

describe('a Redis that was', () => {
  it.each([
    ['emptied of one database', (r: Redis) => r.flushdb()],
    ['emptied', (r: Redis) => r.flushall()],
    [
      'emptied of its feed and of half of its sessions',
      (r: Redis) => r.del(FEED, ...Array.from({ length: 60 }, (_, i) => `sess:s${i}`)),
    ],
  ])('%s', async (title, empty) => {
    await follow();
    if (!title.includes('half')) table.watched = [];
    await empty(redis);
    await noticed('last-id-went-back');
  });

  it('given another database in the place of this one', async () => {
    const other = server.client();
    await other.select(1);
    await fill(other, 'web-2');
    await follow();
    await redis.swapdb(0, 1);
    await noticed('replaced');
    expect(table.live().size).toBe(SESSIONS);
  });

  it('restarted or reloaded with all of its data has lost nothing', async () => {
    await follow();
    await redis.call('DEBUG', 'RELOAD');
    await set(redis.multi(), '*', 's1', 'web-2').exec();
    await expectEqual();
    await redis.save();
    await server.kill();
    await server.launch();
    await set(redis.multi(), '*', 's2', 'web-2').exec();
    await expectEqual();
    expect(kinds()).toEqual([]);
  });

  it('restarted with all of its data, but for entries that would show it, is read again', async () => {
    await follow();
    await redis.xtrim(FEED, 'MAXLEN', 0);
    await expectEqual();
    await redis.save();
    await server.kill();
    await server.launch();
    await noticed('other-history');
  });

  it('made a replica of another', async () => {
    const other = await RedisServer.start();
    ended.push(() => other.stop());
    await fill(other.client(), 'web-3');
    await follow();
    // A replica goes on answering while it loads.
    const port = await listen(other);
    await redis.call('REPLICAOF', '127.0.0.1', port);
    await noticed('replaced');
    expect(table.lookup(cookieHash('s80'))?.backendId).toBe(3);
    await redis.call('REPLICAOF', 'NO', 'ONE');
    await set(redis.multi(), '*', 's1', 'web-1').exec();
    await expectEqual();
  });
});

/** Makes a server that has only its unix socket listen on a free port of the loopback address as well. */
async function listen({ socket }: RedisServer): Promise<number> {
  const tcp = createServer((one) => {
    const two = connect(socket);
    one.on('error', () => two.destroy());
    two.on('error', () => one.destroy());
    one.pipe(two).pipe(one);
  });
  await once(tcp.listen(0, '127.0.0.1'), 'listening');
  ended.push(async () => void tcp.close());
  return (tcp.address() as AddressInfo).port;
}

describe('two servers behind one address', () => {
  let other: RedisServer;
  let proxy: RedisProxy;

  beforeEach(async () => {
    other = await RedisServer.start();
    ended.push(() => other.stop());
    await fill(other.client(), 'web-2');
    proxy = await RedisProxy.start(join(server.directory, 'proxy.sock'), () => server.socket);
    ended.push(() => proxy.stop());
  });

  it('are told apart, although their streams have the same numbers', async () => {
    await follow({}, proxy.url);
    proxy.target = () => other.socket;
    proxy.cut();
    await until('noticed', () => kinds().length > 0);
    expect(kinds()[0]).toBe('replaced');
    await expectEqual(other.client());
    expect(table.lookup(cookieHash('s1'))?.backendId).toBe(2);
  });

  it('are told apart where nothing is left of their streams', async () => {
    await redis.xtrim(FEED, 'MAXLEN', 0);
    await other.client().xtrim(FEED, 'MAXLEN', 0);
    await follow({}, proxy.url);
    proxy.target = () => other.socket;
    proxy.cut();
    await until('noticed', () => kinds().length > 0);
    expect(kinds()[0]).toBe('other-history');
    await expectEqual(other.client());
  });

  it('are never mixed: one for the feed, the other for the sessions', async () => {
    table = new WatchedTable();
    proxy.target = (number) => (number % 2 === 0 ? server : other).socket;
    const running = newSync(proxy, { table });
    started = running;
    running.sync.start();
    await until('told', () => running.sync.status().counts.resyncsFailed > 0);
    expect(running.sync.status()).toMatchObject({ ready: false, state: 'loading', inStepMs: null });
    expect(running.sync.status().lastError?.message).toContain('allowed: the same server for all connections');
    proxy.target = () => server.socket;
    await until('ready', () => running.sync.status().ready);
    await expectEqual();
  });
});

describe('what the rule cannot see', () => {
  it('does not keep a full read waiting for an entry that the stream does not have', async () => {
    const nothing = (): void => undefined;
    const parts = {
      table: new MemoryTable(),
      problems: new Problems(systemRuntime, nothing),
      runtime: systemRuntime,
      pageSize: 10,
      flush: nothing,
      begun: nothing,
      readable: nothing,
    };
    const tables = {
      backends: new BackendsTable(NAMES, { read: nothing, unreadable: nothing }),
      denied: new DeniedTable(NAMES, parts),
      facts: new FactsTable(NAMES, parts),
    };
    const feed = new Feed(
      { redis: redisTarget({ url: server.url }, systemRuntime), stream: FEED },
      tables,
      systemRuntime,
      { ...DEFAULT_TUNING, ...TEST_TUNING },
      {
        connected: nothing,
        failed: nothing,
        gap: nothing,
        apply: nothing,
        atEnd: nothing,
      },
    );
    const stopping = new AbortController();
    const running = feed.run(stopping.signal);
    await feed.caughtUp(parseStreamId(LAST), stopping.signal);
    const vain = feed.caughtUp(parseStreamId('9000-0'), stopping.signal);
    await expect(vain).rejects.toMatchObject({ code: 'SERVERS_DIFFER' });
    stopping.abort();
    await running;
  });

  it('is put right by the next full comparison', async () => {
    const { sync } = await follow({ reconcileEveryMs: 3_600_000 });
    const stays = redis.multi();
    set(stays, '2000-0', 's1', 'web-2').xdel(FEED, '2000-0');
    // Whoever sets the stream's numbers by hand can make an entry never have been.
    stays.call('XSETID', FEED, '2000-0', 'ENTRIESADDED', String(ADDED), 'MAXDELETEDID', LAST);
    await stays.exec();
    await until('checked', async () => sync.status().position?.id === LAST && (sync.status().inStepMs ?? 0) > 0);
    await sync.stop();
    expect(kinds()).toEqual([]);
    expect(table.lookup(cookieHash('s1'))?.backendId).toBe(1);
    const again = newSync(server, { table, reconcileEveryMs: 50 });
    started = again;
    again.sync.start();
    await until('compared', () => again.sync.status().counts.resyncs.reconcile > 0);
    await expectEqual();
    expect(table.lookup(cookieHash('s1'))?.backendId).toBe(2);
  });
});
