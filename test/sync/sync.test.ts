import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildRing } from '../../src/auth/placement.ts';
import type { Functions } from '../../src/sync/redis/functions.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  functionsOf,
  liveInRedis,
  newSync,
  type Running,
  until,
  untilInStep,
  untilReady,
} from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let redis: Redis;
let functions: Functions;
const running: Running[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
  functions = functionsOf(redis);
});

afterAll(() => server.stop());

beforeEach(async () => {
  await redis.call('ACL', 'SETUSER', 'default', '+@all');
  await redis.flushall();
  await addBackends(redis, 3);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map(({ sync }) => sync.stop()));
});

function start(...options: Parameters<typeof newSync> extends [unknown, ...infer Rest] ? Rest : never): Running {
  const started = newSync(server, ...options);
  running.push(started);
  started.sync.start();
  return started;
}

async function expectEqual({ table }: Running): Promise<void> {
  expect(table.live()).toEqual(await liveInRedis(redis));
}

describe('first load', () => {
  it('finds thousands of sessions while writers change them', async () => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 3000; i++) {
      pipeline.hset(`sess:s${i}`, 'backend', `web-${1 + (i % 3)}`);
      if (i % 2 === 0) pipeline.pexpire(`sess:s${i}`, 600_000 + i);
    }
    await pipeline.exec();
    const started = start();
    let writing = true;
    const writer = async (): Promise<void> => {
      for (let i = 0; writing; i = (i + 7) % 4000) {
        if (i % 3 === 0) await functions.sessionDelete(`s${i}`);
        else await functions.sessionSet(`s${i}`, `web-${1 + (i % 2)}`, 300_000);
      }
    };
    const writers = [writer(), writer()];
    await untilReady(started);
    writing = false;
    await Promise.all(writers);
    await untilInStep(started);
    expect(started.table.live().size).toBeGreaterThan(1000);
    await expectEqual(started);
    const { counts, lastResync } = started.sync.status();
    expect(counts.resyncs).toEqual({ start: 1, gap: 0, backends: 0, room: 0, reconcile: 0 });
    expect(lastResync?.pages).toBeGreaterThan(50);
    expect(started.table.commits).toBe(1);
  });

  it('is ready with an empty Redis, which has no feed', async () => {
    await redis.flushall();
    const started = start();
    await untilReady(started);
    expect(started.sync.status()).toMatchObject({ state: 'following', position: { id: '0-0', entriesAdded: 0 } });
    await addBackends(redis, 1);
    await functions.sessionSet('a', 'web-1', 60_000);
    await untilInStep(started);
    await expectEqual(started);
    expect(started.sync.status().counts.resyncs.gap).toBe(0);
  });

  it('is not ready, nor in step, before all is read', async () => {
    for (let i = 0; i < 20; i++) await functions.sessionSet(`s${i}`, 'web-1', 60_000);
    await redis.call('CLIENT', 'PAUSE', 200, 'ALL');
    const started = start();
    expect(started.sync.status()).toMatchObject({ state: 'connecting', ready: false, position: null, inStepMs: null });
    expect(started.table.inStepMs).toBeNull();
    await untilReady(started);
    expect(started.table.ready).toBe(true);
    expect(started.table.inStepMs).not.toBeNull();
    expect(started.sync.status().state).toBe('following');
  });

  it('takes prefixes literally', async () => {
    await redis.hset('s[a]*?\\:x', 'backend', 'web-1');
    await redis.hset('sa:y', 'backend', 'web-1');
    const prefix = 's[a]*?\\:';
    const started = start({ sessions: { prefix, backend: { in: 'hash', field: 'backend' } } });
    await untilReady(started);
    expect([...started.table.live().keys()]).toEqual([cookieHash('x')]);
  });

  it('reads the configured field', async () => {
    await redis.hset('route:x', 'server', 'web-2', 'backend', 'web-1');
    const started = start({ sessions: { prefix: 'route:', backend: { in: 'hash', field: 'server' } } });
    await untilReady(started);
    expect(started.table.lookup(cookieHash('x'))?.backendId).toBe(2);
  });

  it('goes on after the scripts are flushed on the way', async () => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 2000; i++) pipeline.hset(`sess:s${i}`, 'backend', 'web-1');
    await pipeline.exec();
    const started = start();
    for (let i = 0; i < 20 && !started.sync.status().ready; i++) await redis.call('SCRIPT', 'FLUSH');
    await untilReady(started);
    await expectEqual(started);
    expect(started.sync.status().counts.resyncsFailed).toBe(0);
  });

  it('is not in before the feed has been checked and applied up to the last page', async () => {
    for (let i = 0; i < 500; i++) await functions.sessionSet(`s${i}`, 'web-1', 60_000);
    const started = start({ tuning: { pageSize: 1 } });
    await until('pages are read', () => started.sync.status().counts.pages > 0);
    await redis.call('ACL', 'SETUSER', 'default', '-xread');
    await until('all sessions are read', () => started.table.held.size === 500);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(started.sync.status()).toMatchObject({ ready: false, counts: { resyncs: { start: 1 }, resyncsFailed: 0 } });
    await redis.call('ACL', 'SETUSER', 'default', '+xread');
    await untilReady(started);
    await expectEqual(started);
  });
});

describe('following', () => {
  it('applies set, touch, move, delete and expiry', async () => {
    const started = start();
    await untilReady(started);
    await functions.sessionSet('a', 'web-1', 60_000);
    await functions.sessionSet('b', 'web-1', 60_000);
    await functions.sessionSet('c', 'web-1', 150);
    await functions.sessionSet('d', 'web-1', 60_000);
    await functions.sessionTouch('d', 90_000);
    await functions.sessionMove('b', 'web-1', 'web-2');
    await functions.sessionDelete('a');
    await untilInStep(started);
    await expectEqual(started);
    await until('c has expired', () => started.table.lookup(cookieHash('c')) === undefined);
    await expectEqual(started);
    expect(started.table.live().size).toBe(2);
    expect(started.sync.status().counts.feed).toEqual({ set: 6, del: 1, denied: 0, fact: 0, backends: 0, other: 0 });
    expect(started.sync.status().lagEntries).toBe(0);
  });

  it('applies what those without functions write in a MULTI', async () => {
    const started = start();
    await untilReady(started);
    const expires = Date.now() + 60_000;
    const fields = ['op', 'set', 'sid', 'm', 'backend', 'web-3', 'expires', String(expires)];
    await redis
      .multi()
      .hset('sess:m', 'backend', 'web-3')
      .pexpireat('sess:m', expires)
      .xadd(FEED, '*', ...fields)
      .exec();
    await redis
      .multi()
      .hset('sess:n', 'backend', 'web-1')
      .xadd(FEED, '*', 'expires', '0', 'backend', 'web-1', 'sid', 'n', 'op', 'set')
      .exec();
    await untilInStep(started);
    await expectEqual(started);
    expect(started.table.lookup(cookieHash('n'))?.expiresMs).toBe(0);
  });

  it('takes session ids of any bytes from both the feed and the snapshot', async () => {
    const sids = [
      Buffer.from([0]),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('a\r\nb'),
      Buffer.from('*[]?\\'),
      Buffer.alloc(1024, 7),
    ];
    for (const sid of sids.slice(0, 3)) await functions.sessionSet(sid, 'web-1', 60_000);
    const started = start();
    await untilReady(started);
    for (const sid of sids.slice(2)) await functions.sessionSet(sid, 'web-2', 60_000);
    await untilInStep(started);
    for (const sid of sids) expect(started.table.lookup(cookieHash(sid))).toBeDefined();
    await expectEqual(started);
  });

  it("gives records the version of their feed entry, and of the feed's end in a snapshot", async () => {
    const first = await functions.sessionSet('a', 'web-1', 60_000);
    const started = start();
    await untilReady(started);
    const second = await functions.sessionSet('b', 'web-1', 60_000);
    await untilInStep(started);
    const version = (sid: string): string => {
      const held = started.table.lookup(cookieHash(sid));
      return `${held?.ms}-${held?.seq}`;
    };
    expect(version('a')).toBe(first.id);
    expect(version('b')).toBe(second.id);
    expect(started.sync.status().position?.id).toBe(second.id);
  });

  it('catches up with a feed that is many replies ahead', async () => {
    const started = start();
    await untilReady(started);
    const pipeline = redis.pipeline();
    for (let i = 0; i < 1234; i++) {
      pipeline.hset(`sess:s${i}`, 'backend', 'web-1');
      pipeline.xadd(FEED, '*', 'op', 'set', 'sid', `s${i}`, 'backend', 'web-1', 'expires', '0');
    }
    await pipeline.exec();
    await untilInStep(started);
    expect(started.table.live().size).toBe(1234);
    await expectEqual(started);
    expect(started.sync.status().counts.resyncs.gap).toBe(0);
  });

  it('counts what a full table refuses', async () => {
    const started = start({ table: new MemoryTable(2) });
    await untilReady(started);
    for (const sid of ['a', 'b', 'c', 'd']) await functions.sessionSet(sid, 'web-1', 60_000);
    await untilInStep(started);
    expect(started.sync.status().counts.table).toMatchObject({ inserted: 2, refused: 2 });
    expect(started.sync.status().counts.problems['table-full']).toBe(2);
  });
});

describe('backends', () => {
  it('are known by the time an entry names them', async () => {
    const started = start();
    await untilReady(started);
    for (let id = 10; id < 30; id++) {
      await redis
        .multi()
        .fcall(
          'backend_patch',
          2,
          'gateway:backends',
          FEED,
          `new-${id}`,
          JSON.stringify({ id, address: `10.0.1.${id}:80` }),
        )
        .fcall('session_set', 2, `sess:s${id}`, FEED, `s${id}`, `new-${id}`, '60000')
        .exec();
    }
    await untilInStep(started);
    await expectEqual(started);
    expect(started.table.live().size).toBe(20);
    expect(started.sync.status().counts.problems['unknown-backend']).toBe(0);
    expect(started.sync.status().counts.resyncs.backends).toBe(0);
    expect(started.table.backends).toHaveLength(23);
  });

  it('that were unknown become known without a restart', async () => {
    for (let i = 0; i < 5; i++) await functions.sessionSet(`old${i}`, 'later', 60_000);
    const started = start();
    await untilReady(started);
    await functions.sessionSet('new', 'later', 60_000);
    await untilInStep(started);
    expect(started.table.lookup(cookieHash('new'))?.backendId).toBe(0);
    expect(started.sync.status().backends.unknown).toEqual([{ name: 'later', records: 6 }]);
    await functions.backendPatch('later', { id: 9, address: '10.0.0.9:80' });
    await until('known', () => started.table.lookup(cookieHash('old0'))?.backendId === 9);
    await untilInStep(started);
    await expectEqual(started);
    expect(started.sync.status().backends.unknown).toEqual([]);
    expect(started.sync.status().counts.resyncs.backends).toBe(1);
  });

  it('are followed as they change and go', async () => {
    await functions.sessionSet('a', 'web-2', 60_000);
    const started = start();
    await untilReady(started);
    await functions.backendPatch('web-1', { state: 'draining', weight: 7, shed: 250 });
    await functions.backendRemove('web-2');
    await until('gone', () => started.table.backends.length === 2);
    expect(started.table.backends[0]).toMatchObject({
      name: 'web-1',
      id: 1,
      port: 8080,
      state: 'draining',
      weight: 7,
      shed: 250,
    });
    expect(started.sync.status().backends.known).toBe(2);
  });

  it('keep the last good address of an entry that can not be understood any more, on no ring', async () => {
    const started = start();
    await untilReady(started);
    await redis
      .multi()
      .hset('gateway:backends', 'web-1', 'nonsense', 'web-9', '{}')
      .xadd(FEED, '*', 'op', 'backends')
      .exec();
    await until('counted', () => started.sync.status().counts.problems['backend-entry'] === 2);
    expect(started.table.backends.map(({ name, port, weight }) => `${name} ${port} ${weight}`)).toEqual([
      'web-1 8080 0',
      'web-2 8080 100',
      'web-3 8080 100',
    ]);
    const told = started.sync.status().backends.faults.map(({ name, keepsLastGood }) => `${name} ${keepsLastGood}`);
    expect(told.sort()).toEqual(['web-1 true', 'web-9 false']);
    const logged = started.lines.filter(({ event }) => event === 'backend-fault');
    expect(logged.map(({ fields }) => fields).sort((a, b) => (String(a['name']) < String(b['name']) ? -1 : 1))).toEqual(
      [
        {
          name: 'web-1',
          kind: 'backend-entry',
          message: 'entry: found text that is not JSON, allowed: a JSON object',
          keepsLastGood: true,
        },
        {
          name: 'web-9',
          kind: 'backend-entry',
          message: 'id: found nothing, allowed: an integer from 1 to 65535',
          keepsLastGood: false,
        },
      ],
    );

    // One that starts now knows no address of it; the ring is the same.
    const other = start();
    await untilReady(other);
    expect(other.table.backends.map(({ name }) => name)).toEqual(['web-2', 'web-3']);
    const onRing = ({ table }: Running) => buildRing(table.backends.map((one) => ({ ...one, active: true })));
    expect(onRing(started)).toEqual(onRing(other));

    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:8080', shed: 5 });
    for (const one of [started, other]) {
      await until('mended', () => one.table.backends.some(({ weight, shed }) => weight === 100 && shed === 5));
      expect(one.sync.status().backends.faults.map(({ name }) => name)).toEqual(['web-9']);
    }
  });

  it('stay where their table can not be read, and are read again when it can', async () => {
    const started = start();
    await untilReady(started);
    await redis.rename('gateway:backends', 'kept');
    await redis.multi().set('gateway:backends', 'x').xadd(FEED, '*', 'op', 'backends').exec();
    await until('counted', () => started.sync.status().counts.problems['backends-table'] > 0);
    const { inStepMs } = started.table;
    // Tried again with each check.
    await until('tried again', () => started.sync.status().counts.problems['backends-table'] > 3);
    expect(started.table.inStepMs).toBe(inStepMs);
    expect(started.table.backends).toHaveLength(3);
    await redis.hdel('kept', 'web-3');
    await redis.rename('kept', 'gateway:backends');
    await until('read again', () => started.table.backends.length === 2);
    expect(started.lines.some(({ event }) => event === 'backends-unreadable-over')).toBe(true);
  });

  it('whose id changes by hand make everything be read again', async () => {
    await functions.sessionSet('a', 'web-1', 60_000);
    const started = start();
    await untilReady(started);
    await redis
      .multi()
      .hset('gateway:backends', 'web-1', '{"id":77,"address":"10.0.0.1:80"}')
      .xadd(FEED, '*', 'op', 'backends')
      .exec();
    await until('stored under the new id', () => started.table.lookup(cookieHash('a'))?.backendId === 77);
    await until('over', () => started.sync.status().resync === null);
    await expectEqual(started);
  });

  it('make everything be read again, which ends when the feed has caught up with what was read', async () => {
    await redis.hset('gateway:backends', 'spare', '{"id":8,"address":"10.0.0.8:80"}');
    const table = new MemoryTable();
    const started = start({ table, tuning: { feedCount: 1, backendsResyncGapMs: 0 } });
    await untilReady(started);
    const positions: string[] = [];
    const commit = table.commitGeneration.bind(table);
    table.commitGeneration = () => {
      positions.push(started.sync.status().position?.id ?? '');
      commit();
    };
    const changes = redis.multi().hset('gateway:backends', 'spare', '{"id":9,"address":"10.0.0.8:80"}');
    changes.xadd(FEED, '*', 'op', 'backends');
    for (let i = 0; i < 8000; i++) changes.xadd(FEED, '*', 'op', 'del', 'sid', `s${i}`);
    const replies = await changes.exec();
    await until('over', () => positions.length > 0);
    expect(positions).toEqual([replies?.at(-1)?.[1]]);
  });

  it('that are unknown are not told any more once no session names them', async () => {
    await functions.sessionSet('a', 'nobody', 60_000);
    const started = start({ reconcileEveryMs: 50 });
    await untilReady(started);
    await until('told', () => started.sync.status().backends.unknown.length === 1);
    await functions.sessionDelete('a');
    await until(
      'not told',
      () => started.sync.status().backends.unknown.length === 0 && started.sync.status().resync === null,
    );
  });
});

describe('reconcile', () => {
  it('finds what writers changed without the feed, and stays in step meanwhile', async () => {
    await functions.sessionSet('gone', 'web-1', 60_000);
    await functions.sessionSet('moved', 'web-1', 60_000);
    const started = start({ reconcileEveryMs: 200 });
    await untilReady(started);
    await redis.del('sess:gone');
    await redis.hset('sess:moved', 'backend', 'web-2');
    await redis.hset('sess:new', 'backend', 'web-3');
    await redis.hset('gateway:backends', 'web-4', '{"id":4,"address":"10.0.0.4:80"}');
    const states = new Set<string>();
    const { commits } = started.table;
    await until('reconciled', () => {
      states.add(started.sync.status().state);
      return started.table.commits > commits;
    });
    await expectEqual(started);
    expect(states).toEqual(new Set(['following']));
    expect(started.table.backends).toHaveLength(4);
    expect(started.sync.status().lastResync?.reason).toBe('reconcile');
  });

  it('is paced: it sleeps between pages', async () => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 1000; i++) pipeline.hset(`sess:s${i}`, 'backend', 'web-1');
    await pipeline.exec();
    const slept: number[] = [];
    const runtime = {
      wallMs: () => Date.now(),
      monotonicMs: () => performance.now(),
      random: () => 0.5,
      timer: (ms: number, callback: () => void) => {
        slept.push(ms);
        const timer = setTimeout(callback, ms);
        return () => clearTimeout(timer);
      },
    };
    const started = start({
      reconcileEveryMs: 100,
      runtime,
      tuning: { reconcileShare: 0.5, checkEveryMs: 1, blockMs: 1 },
    });
    await untilReady(started);
    const before = slept.length;
    const { pages } = started.sync.status().counts;
    await until('reconciled', () => started.sync.status().lastResync?.reason === 'reconcile');
    expect(started.sync.status().counts.pages - pages).toBeGreaterThanOrEqual(20);
    expect(slept.length - before).toBeGreaterThanOrEqual(19);
    await expectEqual(started);
  });
});

describe('stop', () => {
  it('ends everything, whenever it comes', async () => {
    for (let i = 0; i < 200; i++) await functions.sessionSet(`s${i}`, 'web-1', 60_000);
    for (const afterMs of [0, 1, 3, 10, 30]) {
      const started = start();
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await started.sync.stop();
      await started.sync.stop();
      await until(
        'no connection is left',
        async () => !String(await redis.client('LIST')).includes('name=session-gateway'),
      );
    }
  });

  it('comes with the signal', async () => {
    const controller = new AbortController();
    const started = newSync(server);
    started.sync.start(controller.signal);
    expect(() => started.sync.start()).toThrow('the sync was started already');
    await untilReady(started);
    controller.abort();
    await started.sync.stop();
    await until(
      'no connection is left',
      async () => !String(await redis.client('LIST')).includes('name=session-gateway'),
    );
  });

  it('does nothing where the signal is aborted already', async () => {
    const started = newSync(server);
    started.sync.start(AbortSignal.abort());
    await started.sync.stop();
    expect(started.sync.status()).toMatchObject({ state: 'connecting', counts: { connections: 0 } });
  });
});
