/**
 * Revocations and facts, with a real Redis, both ways of following: what is there at the start, what changes, and what was missed.
 * Single malformed entries are in problems.test.ts.
 */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Functions } from '../../src/sync/redis/functions.ts';
import {
  addBackends,
  cookieHash,
  deniedInRedis,
  FEED,
  factsIn,
  factsInRedis,
  functionsOf,
  newSync,
  type Running,
  until,
  untilInStep,
  untilReady,
} from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

const DENIED = 'gateway:denied';
const FACTS = 'gateway:facts';
/** The end of the year 9999. */
const FOR_GOOD = 253_402_300_799_999;
const HOUR_MS = 3_600_000;

/** Looks at every flush, and at every change of a telling, whether those that stay denied are. */
class WatchedTable extends MemoryTable {
  watched: readonly string[] = [];
  blanked = 0;
  looked = 0;
  /** Revocations and facts at each moment at which sessions became those of a new generation. */
  readonly atCommit: string[] = [];

  #look(): void {
    const denied = this.denied();
    this.looked += 1;
    this.blanked += this.watched.filter((hash) => !denied.has(hash)).length;
  }

  override flush(): ReturnType<MemoryTable['flush']> {
    const counts = super.flush();
    this.#look();
    return counts;
  }

  override endDenied(): void {
    super.endDenied();
    this.#look();
  }

  override commitGeneration(): void {
    super.commitGeneration();
    this.atCommit.push(`${this.denied().size} denied, ${this.factNames().length} facts`);
  }
}

let server: RedisServer;
let redis: Redis;
let functions: Functions;
const running: Running[] = [];

beforeEach(async () => {
  server = await RedisServer.start('--notify-keyspace-events', 'KA');
  redis = server.client();
  functions = functionsOf(redis);
  await addBackends(redis, 3);
});

afterEach(async () => {
  server.resume();
  await Promise.all(running.splice(0).map(({ sync }) => sync.stop()));
  await server.stop();
});

async function expectEqual(started: Running): Promise<void> {
  await untilInStep(started);
  expect(started.table.denied()).toEqual(await deniedInRedis(redis));
  expect(factsIn(started.table)).toEqual(await factsInRedis(redis));
}

const later = (): number => Date.now() + HOUR_MS;

/** Restarts Redis with what it holds. */
async function restart(): Promise<void> {
  await redis.save();
  await server.kill();
  await server.launch();
  await until('back', () =>
    redis.ping().then(
      () => true,
      () => false,
    ),
  );
}

describe.each(['stream', 'notifications'] as const)('followed by %s', (from) => {
  type Options = NonNullable<Parameters<typeof newSync>[1]>;

  async function start(options: Options = {}): Promise<Running & { table: WatchedTable }> {
    const table = (options.table ?? new WatchedTable()) as WatchedTable;
    const feed = { from, stream: FEED, reconcileEveryMs: options.reconcileEveryMs ?? HOUR_MS };
    const started = newSync(server, { ...options, table, feed });
    running.push(started);
    started.sync.start();
    await untilReady(started);
    return { ...started, table };
  }

  /** Where writers bypass the functions; with notifications that is all they need to do. */
  async function announce(op: 'denied' | 'fact', ...fields: string[]): Promise<void> {
    if (from === 'stream') await redis.xadd(FEED, '*', 'op', op, ...fields);
  }

  it('all are read at the start, page by page, before the table is ready', async () => {
    for (let i = 0; i < 300; i++) await functions.sessionDeny(cookieHash(`s${i}`), later() + i);
    await redis.zadd(DENIED, Date.now() - 1, cookieHash('over'), -1, cookieHash('long over'));
    for (let i = 0; i < 200; i++) await functions.factSet(`fact-${i}`, `value ${i}`);
    const started = await start();
    expect(started.table.atCommit).toEqual(['300 denied, 200 facts']);
    expect(started.sync.status()).toMatchObject({
      denied: { entries: 300, malformed: 0 },
      facts: { entries: 200, malformed: 0 },
    });
    await expectEqual(started);
    expect(started.table.denied().size).toBe(300);
    expect(factsIn(started.table).size).toBe(200);
  });

  it('a revocation begins, changes and ends as its entry says, also of a session that nobody has seen', async () => {
    const started = await start();
    const hash = cookieHash('a');
    const deny = async (untilMs: number): Promise<void> => {
      await functions.sessionDeny(hash, untilMs);
      await expectEqual(started);
    };
    const untilMs = later();
    await deny(untilMs);
    expect(started.table.denied()).toEqual(new Map([[hash, untilMs]]));
    await functions.sessionSet('a', 'web-1', 60_000);
    await deny(FOR_GOOD);
    expect(started.table.denied()).toEqual(new Map([[hash, FOR_GOOD]]));
    await deny(0);
    expect(started.table.denied().size).toBe(0);
    await deny(untilMs);
    // One that is over already takes it back, too.
    await deny(1);
    expect(started.table.denied().size).toBe(0);
    // And one that is beyond all bounds is for good.
    await redis.zadd(DENIED, '1e300', hash);
    await announce('denied', 'hash', hash, 'until', '9'.repeat(20));
    await expectEqual(started);
    expect(started.table.denied()).toEqual(new Map([[hash, FOR_GOOD]]));
    expect(started.sync.status().counts.table).toMatchObject({ deniedRefused: 0 });
    expect(started.sync.status().counts.resyncs).toMatchObject({ start: 1, gap: 0 });
  });

  it('a fact has the value and the version of its last entry, and is gone when it is removed', async () => {
    const started = await start();
    const other = await start();
    const factOf = ({ table }: Running, name: string): string | undefined => factsIn(table).get(cookieHash(name));
    const { id } = await functions.factSet('épo que', 'v1');
    await expectEqual(started);
    expect(factOf(started, 'épo que')).toBe(`v1 as of ${id}`);
    const second = await functions.factSet('épo que', Buffer.alloc(24, 'v'));
    const empty = await functions.factSet('empty', '');
    await expectEqual(started);
    expect(factOf(started, 'épo que')).toBe(`${'v'.repeat(24)} as of ${second.id}`);
    expect(factOf(started, 'empty')).toBe(` as of ${empty.id}`);
    await expectEqual(other);
    expect(factsIn(other.table)).toEqual(factsIn(started.table));
    await functions.factRemove('empty');
    await functions.factSet('another', 'x');
    await expectEqual(started);
    expect(factsIn(started.table).size).toBe(2);
  });

  it('many changes at once end as Redis has them', async () => {
    const started = await start();
    const pending: Promise<unknown>[] = [];
    for (let i = 0; i < 2000; i++) {
      pending.push(functions.sessionDeny(cookieHash(`s${i % 150}`), i % 3 === 0 ? 0 : later() + i));
      pending.push(i % 5 === 4 ? functions.factRemove(`f${i % 70}`) : functions.factSet(`f${i % 70}`, `v${i}`));
    }
    await Promise.all(pending);
    await expectEqual(started);
    expect(started.table.denied().size).toBe(100);
  });

  it('writers without the functions are followed, whatever they leave out', async () => {
    const started = await start();
    await redis.hset(FACTS, 'switch', 'on');
    await announce('fact', 'name', 'switch');
    await expectEqual(started);
    const { id } = await functions.factSet('switch', 'off');
    await expectEqual(started);
    expect([...factsIn(started.table).values()]).toEqual([`off as of ${id}`]);
    // An older version than the one before.
    await redis.multi().hset(FACTS, 'switch', 'on').hdel('gateway:fact-ids', 'switch').exec();
    await announce('fact', 'name', 'switch');
    await expectEqual(started);
    expect([...factsIn(started.table).values()]).toEqual(['on as of 0-0']);
    await redis.hset(FACTS, 'switch', 'v'.repeat(25));
    await announce('fact', 'name', 'switch');
    await expectEqual(started);
    expect(factsIn(started.table).size).toBe(0);
    await redis.hset(FACTS, 'switch', 'on', 'other', 'x');
    await announce('fact');
    for (let i = 0; i < 300; i++) await redis.zadd(DENIED, later(), cookieHash(`s${i}`));
    await announce('denied');
    await expectEqual(started);
    expect(started.table.denied().size).toBe(300);
  });

  it('a fact is changed and removed though its version came from a feed whose clock was ahead', async () => {
    await redis.hset(FACTS, 'epoch', 'old', 'switch', 'on');
    await redis.hset('gateway:fact-ids', 'epoch', '8000000000000-0', 'switch', '8000000000000-0');
    const started = await start();
    await expectEqual(started);
    const { id } = await functions.factSet('epoch', 'new');
    await functions.factRemove('switch');
    await expectEqual(started);
    expect([...factsIn(started.table).values()]).toEqual([`new as of ${id}`]);
  });

  it('what found the table full comes in once there is room', async () => {
    const table = new WatchedTable({ denied: 3, facts: 2 });
    const denied = ['a', 'b', 'c', 'd'].map(cookieHash);
    for (const hash of denied) await functions.sessionDeny(hash, FOR_GOOD);
    for (const name of ['a', 'b', 'c']) await functions.factSet(name, 'v');
    const started = await start({ table });
    expect([started.table.denied().size, started.table.factNames().length]).toEqual([3, 2]);
    for (const hash of denied.slice(0, 2)) await functions.sessionDeny(hash, 0);
    await functions.factRemove('a');
    await until('in', () => {
      table.collect();
      return table.denied().size === 2 && table.fact(cookieHash('c')) !== undefined;
    });
    await expectEqual(started);
  });

  it('others than before come in where what is dead took their places, and until then nothing is in step', async () => {
    const table = new WatchedTable({ denied: 3, facts: 3 });
    for (const name of ['a', 'b']) {
      await functions.sessionDeny(cookieHash(name), FOR_GOOD);
      await functions.factSet(name, 'v');
    }
    const started = await start({ table });
    await expectEqual(started);
    const multi = redis.multi().del(DENIED, FACTS);
    for (const name of ['c', 'd']) multi.zadd(DENIED, FOR_GOOD, cookieHash(name)).hset(FACTS, name, 'v');
    if (from === 'stream') multi.xadd(FEED, '*', 'op', 'denied').xadd(FEED, '*', 'op', 'fact');
    await multi.exec();
    await until('told anew', () => table.denied().size === 1 && table.factNames().length === 1);
    expect(started.sync.status().state).toBe('resyncing');
    table.collect();
    await expectEqual(started);
    expect(table.denied().size).toBe(2);
  });

  it('a table that is deleted allows all again', async () => {
    for (let i = 0; i < 40; i++) await functions.sessionDeny(cookieHash(`s${i}`), FOR_GOOD);
    await functions.factSet('a', 'x');
    const started = await start();
    await expectEqual(started);
    expect(started.table.denied().size).toBe(40);
    await redis.del(DENIED, FACTS, 'gateway:fact-ids');
    await announce('denied');
    await announce('fact');
    await expectEqual(started);
    expect(started.table.denied().size).toBe(0);
    expect(factsIn(started.table).size).toBe(0);
  });

  it('what changed while changes were missed is made up for, and who stays denied is at every moment', async () => {
    const started = await start();
    const kept = Array.from({ length: 200 }, (_, i) => cookieHash(`kept-${i}`));
    for (const hash of kept) await functions.sessionDeny(hash, later());
    for (let i = 0; i < 20; i++) await functions.sessionDeny(cookieHash(`s${i}`), FOR_GOOD);
    await functions.factSet('a', 'x');
    await functions.factSet('b', 'x');
    await expectEqual(started);
    started.table.watched = kept;
    const changes: (() => Promise<unknown>)[] = [
      // As where the database was changed behind the gateway's back.
      () => redis.del(FEED),
      () => restart(),
      () => redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
    ];
    for (const [i, change] of changes.entries()) {
      const gaps = started.sync.status().counts.resyncs.gap;
      await redis.zrem(DENIED, cookieHash(`s${i}`));
      await redis.zadd(DENIED, later(), cookieHash(`new-${i}`));
      await redis.hset(FACTS, 'a', `changed ${i}`);
      await redis.hdel(FACTS, 'b');
      await change();
      // Not where a check came between the last change and the restart: what it saw is still there, and tables are read anew.
      if (i === 0) await until('noticed', () => from !== 'stream' || started.sync.status().counts.resyncs.gap > gaps);
      await expectEqual(started);
      expect(started.table.denied().has(cookieHash(`s${i}`))).toBe(false);
      await functions.factSet('b', 'x');
    }
    expect(started.table.looked).toBeGreaterThan(10);
    expect(started.table.blanked).toBe(0);
  });

  it('a revocation is in force from the first moment on after a restart of the gateway, over the same table', async () => {
    const hash = cookieHash('a');
    await functions.sessionDeny(hash, later());
    const first = await start();
    await expectEqual(first);
    first.table.watched = [hash];
    await first.sync.stop();
    await functions.sessionDeny(cookieHash('b'), later());
    const second = await start({ table: first.table });
    await expectEqual(second);
    expect(second.table.denied().size).toBe(2);
    expect(second.table.blanked).toBe(0);
  });

  it('what no entry tells is found by the comparison', async () => {
    const started = await start({ reconcileEveryMs: 100 });
    await redis.zadd(DENIED, later(), cookieHash('a'));
    await redis.hset(FACTS, 'a', 'x');
    await until('compared', () => started.table.denied().size === 1 && factsIn(started.table).size === 1);
    await expectEqual(started);
  });

  it('a table that can not be read keeps what was known, and the gateway is not in step until it can', async () => {
    await functions.sessionDeny(cookieHash('a'), later());
    await functions.factSet('a', 'x');
    const started = await start();
    await expectEqual(started);
    const problems = () => started.sync.status().counts.problems;
    for (const [key, kind, op] of [
      [DENIED, 'denied-table', 'denied'],
      [FACTS, 'facts-table', 'fact'],
    ] as const) {
      await redis.rename(key, 'kept');
      await redis.set(key, 'not a table');
      await announce(op);
      await until('told', () => problems()[kind] > 0);
      const { inStepMs } = started.table;
      await until('tried again', () => problems()[kind] > 3);
      expect(started.table.inStepMs).toBe(inStepMs);
      expect(started.table.denied().size).toBe(1);
      expect(factsIn(started.table).size).toBe(1);
      // The rest is followed all the same.
      await functions.sessionSet(`s-${op}`, 'web-1', 60_000);
      await until('applied', () => started.table.lookup(cookieHash(`s-${op}`)) !== undefined);
      await redis.rename('kept', key);
      await expectEqual(started);
      expect(started.lines.map(({ event }) => event)).toContain(`${op === 'fact' ? 'facts' : op}-unreadable-over`);
    }
  });

  it('a table of absurd size is refused as a whole, and what was known stays', async () => {
    await functions.factSet('a', 'x');
    const started = await start();
    await expectEqual(started);
    await redis.eval("for i = 1, 20000 do redis.call('HSET', KEYS[1], i, '') end", 1, FACTS);
    await announce('fact');
    await until('told', () => started.sync.status().counts.problems['facts-table'] > 0);
    expect(started.sync.status().lastError?.message).toContain('found 20001 entries, allowed: 8192');
    expect([...factsIn(started.table)]).toHaveLength(1);
  });

  it('changes of a backend are in the table without reading a session again', async () => {
    await functions.sessionSet('a', 'web-1', 60_000);
    const started = await start();
    for (const patch of [
      { state: 'draining' },
      { state: 'down' },
      { state: 'active', shed: 3000 },
      { weight: 7 },
      { weight: 0, shed: 10_000 },
    ] as const) {
      await functions.backendPatch('web-1', patch);
      await until('visible', () => {
        const backend = started.table.backends.find(({ name }) => name === 'web-1');
        return Object.entries(patch).every(([field, value]) => backend?.[field as keyof typeof backend] === value);
      });
    }
    await untilInStep(started);
    expect(started.sync.status().counts.resyncs).toMatchObject({ start: 1, gap: 0, backends: 0 });
  });
});

describe('in the feed', () => {
  it('revocations and sessions take effect in its order', async () => {
    const order: string[] = [];
    const table = new MemoryTable();
    const started = newSync(server, { table });
    running.push(started);
    started.sync.start();
    await untilReady(started);
    table.onChange = (hash) => order.push(hash);
    const [a, b, c] = ['a', 'b', 'c'].map(cookieHash) as [string, string, string];
    const multi = redis.multi();
    for (const hash of [a, b]) multi.xadd(FEED, '*', 'op', 'denied', 'hash', hash, 'until', FOR_GOOD);
    multi.xadd(FEED, '*', 'op', 'set', 'sid', 'c', 'backend', 'web-1', 'expires', '0');
    multi.xadd(FEED, '*', 'op', 'denied', 'hash', a, 'until', '0');
    await multi.exec();
    await until('applied', () => order.length === 4);
    expect(order).toEqual([a, b, c, a]);
    expect([...table.denied().keys()]).toEqual([b]);
  });

  it('sessions go on while a large table is read', async () => {
    const started = newSync(server, { tuning: { deniedPageSize: 4 } });
    running.push(started);
    started.sync.start();
    await untilReady(started);
    const pipeline = redis.pipeline();
    for (let i = 0; i < 2000; i++) pipeline.zadd(DENIED, later(), cookieHash(`s${i}`));
    await pipeline.exec();
    await redis.xadd(FEED, '*', 'op', 'denied');
    await until('begun', () => started.table.denied().size > 0);
    await functions.sessionSet('a', 'web-1', 60_000);
    await until('applied', () => started.table.lookup(cookieHash('a')) !== undefined);
    expect(started.table.denied().size).toBeLessThan(2000);
    await expectEqual(started);
    expect(started.table.denied().size).toBe(2000);
  });
});
