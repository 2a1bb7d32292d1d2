/** Following by keyspace notifications: plain writers, cut connections, restarts, and what has no events. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BackendSource } from '../../../src/sync/snapshot/session-forms.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  functionsOf,
  liveInRedis,
  newSync,
  PREFIX,
  type Running,
  until,
  untilInStep,
  untilReady,
} from '../harness.ts';
import { RedisServer } from '../redis-server.ts';

const HASH: BackendSource = { in: 'hash', field: 'backend' };
const JSON_FORM: BackendSource = { in: 'json', path: 'backend' };
const VALUE: BackendSource = { in: 'value' };

let server: RedisServer;
let redis: Redis;
const running: Running[] = [];

beforeEach(async () => {
  server = await RedisServer.start('--notify-keyspace-events', 'Kg$hzxe');
  redis = server.client();
  await addBackends(redis, 3);
});

afterEach(async () => {
  server.resume();
  await Promise.all(running.splice(0).map(({ sync }) => sync.stop()));
  await server.stop();
});

type Options = NonNullable<Parameters<typeof newSync>[1]>;

function start(backend: BackendSource = HASH, options: Options = {}): Running {
  const started = newSync(server, {
    feed: { from: 'notifications', stream: FEED, reconcileEveryMs: options.reconcileEveryMs ?? 3_600_000 },
    sessions: { prefix: PREFIX, backend },
    ...options,
  });
  running.push(started);
  started.sync.start();
  return started;
}

async function expectEqual(started: Running, backend: BackendSource = HASH): Promise<void> {
  await untilInStep(started);
  expect(started.table.live()).toEqual(await liveInRedis(redis, PREFIX, backend));
}

/** Writes `name` as the backend of a session, in each form. */
const WRITERS: [BackendSource, (key: string, name: string) => Promise<unknown>][] = [
  [HASH, (key, name) => redis.hset(key, 'backend', name, 'user', 'u1')],
  [JSON_FORM, (key, name) => redis.set(key, JSON.stringify({ user: 'u1', backend: name }))],
  [VALUE, (key, name) => redis.set(key, name)],
];

describe.each(WRITERS)('plain writers of %j', (form, write) => {
  it('are followed from the first load on, whatever commands they use', async () => {
    await write('sess:before', 'web-1');
    const started = start(form);
    await untilReady(started);
    const found = (sid: string) => started.table.lookup(cookieHash(sid));
    expect(found('before')).toMatchObject({ backendId: 1, expiresMs: 0 });

    await write('sess:a', 'web-2');
    await redis.pexpire('sess:a', 600_000);
    await write('sess:b', 'web-3');
    await redis.rename('sess:b', 'sess:renamed');
    await redis.copy('sess:a', 'sess:copied');
    await redis.persist('sess:copied');
    await write('sess:gone', 'web-1');
    await write('sess:ended', 'web-1');
    await expectEqual(started, form);
    expect(found('gone')).toBeDefined();
    await redis.del('sess:gone', 'sess:before');
    await redis.pexpire('sess:ended', 5);
    await redis.restore('sess:restored', 600_000, await redis.dumpBuffer('sess:a'));
    await redis.rename('sess:renamed', 'other:renamed');
    await until('ended', async () => (await redis.exists('sess:ended')) === 0);
    await expectEqual(started, form);
    expect([...started.table.live().values()].map((text) => text.split(' ')[0]).sort()).toEqual(['2', '2', '2']);
    expect(started.sync.status()).toMatchObject({
      counts: { resyncs: { start: 1, gap: 0 }, resyncsFailed: 0 },
      notifications: { missing: '', pending: 0 },
    });
  });

  it('that put something else in the place of a session end it', async () => {
    const started = start(form);
    await untilReady(started);
    for (const sid of ['a', 'b', 'c']) await write(`sess:${sid}`, 'web-1');
    await untilInStep(started);
    expect(started.table.live().size).toBe(3);
    await redis.del('sess:a');
    await redis.zadd('sess:a', 1, 'web-2');
    await redis.set('sess:b', 'x'.repeat(100_000));
    await write('sess:c', 'nobody');
    await expectEqual(started, form);
    expect(started.table.live().size).toBe(0);
    expect(started.sync.status().counts.problems).toMatchObject({ 'unknown-backend': 1 });
  });
});

it('a plain writer with SETEX and GETEX is followed', async () => {
  const started = start(VALUE);
  await untilReady(started);
  await redis.setex('sess:a', 600, 'web-1');
  await redis.set('sess:b', 'web-2', 'PX', 600_000);
  await redis.getex('sess:b', 'EX', 900);
  await redis.getdel('sess:a');
  await redis.append('sess:c', 'web-');
  await redis.append('sess:c', '3');
  await expectEqual(started, VALUE);
  expect(started.table.live().size).toBe(2);
});

it('a session id of any bytes, and a prefix of any characters, are followed', async () => {
  const prefix = 's[e]*?\\^ß:';
  const started = start(HASH, { sessions: { prefix, backend: HASH } });
  await untilReady(started);
  const sid = Buffer.from([0, 255, 10, 13, 0xc3, 0x28, 0x2a]);
  await redis.hset(Buffer.concat([Buffer.from(prefix), sid]), 'backend', 'web-2');
  await redis.hset('s[e]xx:other', 'backend', 'web-1');
  await redis.hset(`${prefix}${'x'.repeat(2000)}`, 'backend', 'web-1');
  await untilInStep(started);
  expect([...started.table.live().keys()]).toEqual([cookieHash(sid)]);
});

it('another database is not mistaken for its own', async () => {
  const started = start(HASH, { redis: { url: `${server.url}?db=3` } });
  await untilReady(started);
  await redis.hset('sess:a', 'backend', 'web-1');
  await redis.select(3);
  await addBackends(redis, 2);
  await redis.hset('sess:b', 'backend', 'web-2');
  await expectEqual(started);
  expect(started.table.live().size).toBe(1);
});

it('backends that change are read again, and sessions that named them before they were known are found', async () => {
  const started = start();
  await untilReady(started);
  await redis.hset('sess:a', 'backend', 'web-9');
  await untilInStep(started);
  expect(started.table.live().size).toBe(0);
  await redis.hset('gateway:backends', 'web-9', '{"id":9,"address":"10.0.0.9:80"}');
  await until('found', () => started.table.live().size === 1);
  await functionsOf(redis).backendPatch('web-1', { state: 'down' });
  await untilInStep(started);
  expect(started.table.backends.find(({ name }) => name === 'web-1')?.state).toBe('down');
  await redis.del('gateway:backends');
  await untilInStep(started);
  expect(started.table.backends).toEqual([]);
});

it('a change during a full load is not lost, and one read before it does not come back', async () => {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 5000; i++) pipeline.hset(`sess:s${i}`, 'backend', 'web-1');
  await pipeline.exec();
  const started = start(HASH, { tuning: { pageSize: 10 } });
  let changed = 0;
  await until('loaded', async () => {
    await redis.del(`sess:s${(changed * 7) % 5000}`);
    await redis.hset(`sess:s${(changed * 11) % 5000}`, 'backend', 'web-2');
    changed += 1;
    return started.sync.status().ready;
  });
  expect(changed).toBeGreaterThan(3);
  await expectEqual(started);
});

it('scripts that were flushed are loaded again', async () => {
  const started = start();
  await untilReady(started);
  for (let i = 0; i < 5; i++) {
    await redis.script('FLUSH');
    await redis.hset(`sess:a${i}`, 'backend', 'web-1');
    await expectEqual(started);
  }
  expect(started.table.live().size).toBe(5);
  expect(started.sync.status().counts.resyncs.gap).toBe(0);
});

describe('what is missed', () => {
  it('while connections are cut is made up for, without blanking an answer', async () => {
    await redis.hset('sess:stays', 'backend', 'web-1');
    const started = start();
    await untilReady(started);
    for (const type of ['pubsub', 'normal', 'pubsub', 'normal']) {
      const before = started.sync.status().counts.connections;
      await redis.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
      await redis.hset(`sess:${type}${before}`, 'backend', 'web-2');
      await until('again', () => {
        expect(started.table.lookup(cookieHash('stays'))).toBeDefined();
        return started.sync.status().counts.connections > before;
      });
      await expectEqual(started);
    }
    expect(started.table.live().size).toBe(5);
    expect(started.lines.filter(({ event }) => event === 'gap').map(({ fields }) => fields['kind'])).toContain(
      'connection-lost',
    );
  });

  it('by emptying the database, or exchanging it, is noticed though no key has an event', async () => {
    const started = start();
    await redis.hset('sess:a', 'backend', 'web-1');
    await untilReady(started);
    const empty = [() => redis.flushall(), () => redis.flushdb('ASYNC'), () => redis.eval('redis.call("FLUSHALL")', 0)];
    for (const flush of empty) {
      const gaps = started.sync.status().counts.resyncs.gap;
      await flush();
      await addBackends(redis, 3);
      await redis.hset('sess:b', 'backend', 'web-2');
      await until('noticed', () => started.sync.status().counts.resyncs.gap > gaps);
      await expectEqual(started);
      expect(started.table.live().size).toBe(1);
    }
    await redis.select(1);
    await addBackends(redis, 2);
    await redis.hset('sess:c', 'backend', 'web-1');
    await redis.swapdb(0, 1);
    await redis.select(0);
    await until('noticed', () => started.table.lookup(cookieHash('c')) !== undefined);
    await expectEqual(started);
    expect(started.table.live().size).toBe(1);
  });

  it('by a table in step with a database that was just emptied: none', async () => {
    const started = start();
    await redis.hset('sess:a', 'backend', 'web-1');
    await untilReady(started);
    for (let i = 0; i < 10; i++) {
      await redis.hset('sess:a', 'backend', 'web-1');
      await redis.flushall();
      await addBackends(redis, 1);
      // In step means equal at once, not soon.
      await expectEqual(started);
      expect(started.table.live().size).toBe(0);
    }
  });

  it('when Redis restarts is made up for', async () => {
    const started = start();
    await redis.hset('sess:saved', 'backend', 'web-1');
    await untilReady(started);
    await redis.save();
    await redis.hset('sess:lost', 'backend', 'web-2');
    await untilInStep(started);
    expect(started.table.live().size).toBe(2);
    await server.kill();
    await until('noticed', () => started.sync.status().state === 'connecting');
    expect(started.table.live().size).toBe(2);
    await server.launch();
    await expectEqual(started);
    expect([...started.table.live().keys()]).toEqual([cookieHash('saved')]);
  });

  it('when Redis was paused is nothing, and a peer that is silent is noticed', async () => {
    const started = start(HASH, { tuning: { replyGraceMs: 100 } });
    await redis.hset('sess:a', 'backend', 'web-1');
    await untilReady(started);
    server.pause();
    await until('noticed', () => started.sync.status().state === 'connecting');
    expect(started.sync.status().lastError?.message).toContain('did not answer in time');
    server.resume();
    await redis.hset('sess:b', 'backend', 'web-1');
    await expectEqual(started);
    expect(started.table.live().size).toBe(2);
  });

  it('when more keys change than are remembered is read as a whole', async () => {
    const started = start(HASH, { tuning: { pendingKeysMax: 20 } });
    await untilReady(started);
    const pipeline = redis.pipeline();
    for (let i = 0; i < 5000; i++) pipeline.hset(`sess:s${i}`, 'backend', 'web-1');
    await pipeline.exec();
    await expectEqual(started);
    expect(started.table.live().size).toBe(5000);
    expect(started.lines.filter(({ event }) => event === 'gap').map(({ fields }) => fields['kind'])).toContain(
      'overflow',
    );
  });
});

describe('a Redis that does not send what is needed', () => {
  it('is told, loaded and reconciled all the same, and followed once it does', async () => {
    await redis.config('SET', 'notify-keyspace-events', 'Ex');
    await redis.hset('sess:a', 'backend', 'web-1');
    const started = start(HASH, { reconcileEveryMs: 200 });
    await untilReady(started);
    await until('told', () => started.lines.some(({ event }) => event === 'events-missing'));
    expect(started.sync.status().notifications?.missing).toBe('Kg$hze');
    expect(started.table.inStepMs).toBeNull();
    expect(started.table.live().size).toBe(1);
    await redis.hset('sess:b', 'backend', 'web-2');
    await until('reconciled', () => started.table.live().size === 2);
    expect(started.table.inStepMs).toBeNull();

    await redis.config('SET', 'notify-keyspace-events', 'KEA');
    await redis.hset('sess:c', 'backend', 'web-2');
    await expectEqual(started);
    expect(started.sync.status().notifications?.missing).toBe('');
  });

  it('or does not say so to this user, is followed', async () => {
    await redis.call('ACL', 'SETUSER', 'gateway', 'on', '>pass', '~*', '&*', '+@all', '-config', '-info');
    const started = start(HASH, { redis: { url: server.url, username: 'gateway', password: 'pass' } });
    await untilReady(started);
    await redis.hset('sess:c', 'backend', 'web-2');
    await expectEqual(started);
    expect(started.sync.status().notifications?.missing).toBeNull();
    expect(started.lines.map(({ event }) => event)).toContain('events-unknown');
  });

  it('or does not let this user subscribe, is told', async () => {
    await redis.call('ACL', 'SETUSER', 'gateway', 'on', '>pass', '~*', 'resetchannels', '+@all');
    const started = start(HASH, { redis: { url: server.url, username: 'gateway', password: 'pass' } });
    await until('told', () => started.sync.status().lastError?.message.includes('channel') ?? false);
    expect(started.sync.status().ready).toBe(false);
  });
});
