import { inspect } from 'node:util';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SyncError } from '../../../src/sync/errors.ts';
import { type Functions, installLibrary, LIBRARY_VERSION } from '../../../src/sync/redis/functions.ts';
import { cookieHash, FEED, functionsOf } from '../harness.ts';
import { RedisServer } from '../redis-server.ts';

let server: RedisServer;
let redis: Redis;
let functions: Functions;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
  functions = functionsOf(redis);
});

afterAll(() => server.stop());

beforeEach(async () => {
  await redis.flushall();
  await installLibrary(redis);
});

/** The feed's entries without their ids. */
async function feed(): Promise<string[][]> {
  return (await redis.xrange(FEED, '-', '+')).map(([, fields]) => fields);
}

async function lastId(): Promise<string | undefined> {
  return (await redis.xrevrange(FEED, '+', '-', 'COUNT', 1))[0]?.[0];
}

async function dump(): Promise<string> {
  const keys = (await redis.keys('*')).sort();
  return JSON.stringify(await Promise.all(keys.map(async (key) => [key, String(await redis.dumpBuffer(key))])));
}

describe('session_set', () => {
  it('writes the record with its end and announces it', async () => {
    const before = Date.now();
    const { id, expiresMs } = await functions.sessionSet('abc', 'web-1', 60_000);
    expect(expiresMs).toBeGreaterThanOrEqual(before + 60_000);
    expect(expiresMs).toBeLessThanOrEqual(Date.now() + 60_000);
    expect(await redis.hgetall('sess:abc')).toEqual({ backend: 'web-1' });
    expect(await redis.call('PEXPIRETIME', 'sess:abc')).toBe(expiresMs);
    expect(await feed()).toEqual([['op', 'set', 'sid', 'abc', 'backend', 'web-1', 'expires', String(expiresMs)]]);
    expect(await lastId()).toBe(id);
  });

  it("keeps the record's other fields", async () => {
    await redis.hset('sess:abc', { user: 'u', backend: 'web-9' });
    await functions.sessionSet('abc', 'web-1', 60_000);
    expect(await redis.hgetall('sess:abc')).toEqual({ user: 'u', backend: 'web-1' });
  });

  it('takes session ids of any bytes', async () => {
    const sid = Buffer.from([0, 255, 13, 10, 42, 92]);
    await functions.sessionSet(sid, 'web-1', 60_000);
    expect(await redis.exists(Buffer.concat([Buffer.from('sess:'), sid]))).toBe(1);
    const [entry] = await redis.xrangeBuffer(FEED, '-', '+');
    expect(entry?.[1][3]).toEqual(sid);
  });

  it('trims the feed', async () => {
    const trimming = await redis.call('FUNCTION', 'LIST', 'LIBRARYNAME', 'session_gateway', 'WITHCODE');
    expect(JSON.stringify(trimming)).toContain("'MAXLEN', '~', FEED_LENGTH");
    expect(JSON.stringify(trimming)).toContain('FEED_LENGTH = 1000000');
  });
});

describe('session_touch', () => {
  it('gives the session a new end and announces it', async () => {
    await functions.sessionSet('abc', 'web-1', 1000);
    const touched = await functions.sessionTouch('abc', 60_000);
    const expiresMs = Number(await redis.call('PEXPIRETIME', 'sess:abc'));
    expect(touched).toEqual({ done: true, id: await lastId(), expiresMs });
    expect(expiresMs).toBeGreaterThan(Date.now() + 50_000);
    expect((await feed())[1]).toEqual(['op', 'set', 'sid', 'abc', 'backend', 'web-1', 'expires', String(expiresMs)]);
  });

  it('does nothing if the session is gone', async () => {
    expect(await functions.sessionTouch('abc', 60_000)).toEqual({ done: false, why: 'gone' });
    expect(await redis.keys('*')).toEqual([]);
  });
});

describe('session_move', () => {
  it('moves a session that is where it is said to be, and keeps its end', async () => {
    const { expiresMs } = await functions.sessionSet('abc', 'web-1', 60_000);
    expect(await functions.sessionMove('abc', 'web-1', 'web-2')).toEqual({ done: true, id: await lastId() });
    expect(await redis.hget('sess:abc', 'backend')).toBe('web-2');
    expect(await redis.call('PEXPIRETIME', 'sess:abc')).toBe(expiresMs);
    expect((await feed())[1]).toEqual(['op', 'set', 'sid', 'abc', 'backend', 'web-2', 'expires', String(expiresMs)]);
  });

  it('announces 0 for a session without an end', async () => {
    await redis.hset('sess:abc', 'backend', 'web-1');
    await functions.sessionMove('abc', 'web-1', 'web-2');
    expect((await feed())[0]?.slice(-2)).toEqual(['expires', '0']);
  });

  it('leaves a session that is elsewhere or gone', async () => {
    await functions.sessionSet('abc', 'web-3', 60_000);
    const before = await dump();
    expect(await functions.sessionMove('abc', 'web-1', 'web-2')).toEqual({ done: false, why: 'elsewhere' });
    expect(await functions.sessionMove('xyz', 'web-1', 'web-2')).toEqual({ done: false, why: 'gone' });
    expect(await dump()).toBe(before);
  });

  it('lets one of two movers win', async () => {
    await functions.sessionSet('abc', 'web-1', 60_000);
    const other = functionsOf(server.client());
    const outcomes = await Promise.all([
      functions.sessionMove('abc', 'web-1', 'web-2'),
      other.sessionMove('abc', 'web-1', 'web-3'),
    ]);
    expect(outcomes.filter(({ done }) => done)).toHaveLength(1);
    expect(await feed()).toHaveLength(2);
  });
});

describe('session_del', () => {
  it('deletes the record and announces it', async () => {
    await functions.sessionSet('abc', 'web-1', 60_000);
    expect(await functions.sessionDelete('abc')).toEqual({ id: await lastId(), existed: true });
    expect(await redis.exists('sess:abc')).toBe(0);
    expect((await feed())[1]).toEqual(['op', 'del', 'sid', 'abc']);
  });

  it('announces it where the record is gone already', async () => {
    expect(await functions.sessionDelete('abc')).toEqual({ id: await lastId(), existed: false });
    expect(await feed()).toEqual([['op', 'del', 'sid', 'abc']]);
  });
});

describe('backend_patch', () => {
  it('makes an entry with defaults, remembers the id and announces it', async () => {
    const { id, entry } = await functions.backendPatch('web-1', { id: 1, address: '10.0.0.11:8080' });
    expect(entry).toEqual({ id: 1, address: '10.0.0.11:8080', state: 'active', weight: 100, shed: 0 });
    expect(await redis.hget('gateway:backends', 'web-1')).toBe(
      '{"id":1,"address":"10.0.0.11:8080","state":"active","weight":100,"shed":0}',
    );
    expect(await redis.hgetall('gateway:backend-ids')).toEqual({ 'web-1': '1' });
    expect(await feed()).toEqual([['op', 'backends']]);
    expect(await lastId()).toBe(id);
  });

  it('changes only the given fields and keeps those that it does not know', async () => {
    await redis.hset('gateway:backends', 'web-1', '{"rack":"r4","shed":7,"address":"10.0.0.1:80","id":1}');
    await functions.backendPatch('web-1', { state: 'draining' });
    expect(await redis.hget('gateway:backends', 'web-1')).toBe(
      '{"id":1,"address":"10.0.0.1:80","state":"draining","weight":100,"shed":7,"rack":"r4"}',
    );
  });

  it('loses none of many concurrent patches of different fields', async () => {
    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80' });
    const others = Array.from({ length: 4 }, () => functionsOf(server.client()));
    for (let round = 1; round <= 30; round++) {
      const patches = [
        { weight: round },
        { shed: round },
        { address: `10.0.0.${round}:80` },
        { state: 'down' as const },
      ];
      await Promise.all(patches.map((patch, i) => others[i]?.backendPatch('web-1', patch)));
      const entry = JSON.parse((await redis.hget('gateway:backends', 'web-1')) ?? '');
      expect(entry).toEqual({ id: 1, address: `10.0.0.${round}:80`, state: 'down', weight: round, shed: round });
    }
  });

  it('repairs an entry that is not JSON', async () => {
    await redis.hset('gateway:backends', 'web-1', 'nonsense');
    await functions.backendPatch('web-1', { id: 1, address: '[2001:db8::1]:80' });
    expect(JSON.parse((await redis.hget('gateway:backends', 'web-1')) ?? '').address).toBe('[2001:db8::1]:80');
  });

  it('gives an id to no other name, ever', async () => {
    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80' });
    await functions.backendRemove('web-1');
    await redis.hset('gateway:backends', 'by-hand', '{"id":7,"address":"10.0.0.7:80"}');
    const before = await dump();
    const add = (id: number) => functions.backendPatch('web-2', { id, address: '10.0.0.2:80' });
    await expect(add(1)).rejects.toThrow('id: found 1, which is or was the id of "web-1"; allowed: one never used');
    await expect(add(7)).rejects.toThrow('id: found 7, which is the id of "by-hand"; allowed: one never used');
    expect(await dump()).toBe(before);
    await add(2);
    await expect(add(3)).rejects.toThrow('id: found 3, allowed: 2, which this name has');
    expect((await functions.backendPatch('web-1', { address: '10.0.0.9:80' })).entry.id).toBe(1);
  });

  it.each([
    '0.0.0.0:1',
    '255.255.255.255:65535',
    '[::]:1',
    '[::1]:80',
    '[1::]:80',
    '[2001:DB8::11]:8080',
    '[1:2:3:4:5:6:7:8]:80',
    '[1:2:3:4:5:6:7::]:80',
    '[::2:3:4:5:6:7:8]:80',
    '[::ffff:10.0.0.1]:80',
    '[1:2:3:4:5:6:10.0.0.1]:80',
    '[64:ff9b::10.0.0.1]:80',
  ])('takes the address %s', async (address) => {
    expect((await functions.backendPatch('web-1', { id: 1, address })).entry.address).toBe(address);
  });

  it.each([
    '',
    'web.example:80',
    '10.0.0.1',
    '10.0.0.1:',
    '10.0.0.1:0',
    '10.0.0.1:080',
    '10.0.0.1:65536',
    '10.0.0.1:123456',
    '10.0.0.256:80',
    '10.0.0:80',
    '10.0.0.0.1:80',
    '10.0.0.01:80',
    ' 10.0.0.1:80',
    '10.0.0.1:80 ',
    '::1:80',
    '[::1]',
    '[]:80',
    '[:::]:80',
    '[1::2::3]:80',
    '[1:2:3:4:5:6:7]:80',
    '[1:2:3:4:5:6:7:8:9]:80',
    '[1:2:3:4:5:6:7:8::]:80',
    '[::12345]:80',
    '[:1:2]:80',
    '[1:2:]:80',
    '[fe80::1%eth0]:80',
    '[::10.0.0.1:1]:80',
    '[10.0.0.1::]:80',
    '[10.0.0.1::10.0.0.1]:80',
    '[::10.0.0.300]:80',
    '[10.0.0.1]:80',
  ])('refuses the address %s', async (address) => {
    await expect(functions.backendPatch('web-1', { id: 1, address })).rejects.toThrow('address: found');
    expect(await redis.keys('*')).toEqual([]);
  });
});

describe('backend_patch, among all backends', () => {
  it.each([
    ['10.0.0.1:80', '10.0.0.1:80'],
    ['10.0.0.1:80', '[::ffff:10.0.0.1]:80'],
    ['[::ffff:a00:1]:80', '10.0.0.1:80'],
    ['[2001:db8::1]:80', '[2001:DB8:0:0:0:0:0:1]:80'],
    ['[2001:db8::1:0:0:1]:80', '[2001:db8:0:0:1::1]:80'],
  ])('refuses %s where another has it, however it is written', async (address, again) => {
    await functions.backendPatch('web-1', { id: 1, address });
    await functions.backendPatch('web-2', { id: 2, address: '10.0.0.2:80' });
    const before = await dump();
    for (const refused of [
      () => functions.backendPatch('web-3', { id: 3, address: again }),
      () => functions.backendPatch('web-2', { address: again }),
    ]) {
      await expect(refused()).rejects.toThrow(`address: found ${again}, which is the address of "web-1"; allowed: one`);
    }
    expect(await dump()).toBe(before);
    // Its own, and one that differs by the port.
    await functions.backendPatch('web-1', { address: again, weight: 5 });
    await functions.backendPatch('web-3', { id: 3, address: address.replace(/80$/, '81') });
  });

  it('gives an address on once its backend is removed', async () => {
    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80' });
    await functions.backendRemove('web-1');
    await functions.backendPatch('web-2', { id: 2, address: '10.0.0.1:80' });
    expect(await redis.hkeys('gateway:backends')).toEqual(['web-2']);
  });

  it('refuses a weight of 0 for all, and takes it for some', async () => {
    const wrong = 'weight: found 0 for all backends, allowed: over 0 for at least one';
    await expect(functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80', weight: 0 })).rejects.toThrow(wrong);
    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80' });
    await functions.backendPatch('web-2', { id: 2, address: '10.0.0.2:80', weight: 0 });
    const before = await dump();
    await expect(functions.backendPatch('web-1', { weight: 0 })).rejects.toThrow(wrong);
    expect(await dump()).toBe(before);
    await functions.backendPatch('web-2', { weight: 1 });
    await functions.backendPatch('web-1', { weight: 0 });
  });

  it('is not kept from a change by what others wrote by hand', async () => {
    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80' });
    await redis.hset('gateway:backends', 'a', 'no', 'b', '{"address":7,"weight":"x","id":"1"}', 'c', '[]', 'd', '{}');
    await functions.backendPatch('web-1', { address: '10.0.0.2:80', weight: 0 });
    await functions.backendPatch('web-2', { id: 2, address: '10.0.0.1:80' });
    expect(await redis.hlen('gateway:backends')).toBe(6);
  });
});

describe('backend_remove', () => {
  it('removes the entry, keeps the id and announces it', async () => {
    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80' });
    expect(await functions.backendRemove('web-1')).toEqual({ done: true, id: await lastId() });
    expect(await redis.exists('gateway:backends')).toBe(0);
    expect(await redis.hgetall('gateway:backend-ids')).toEqual({ 'web-1': '1' });
    expect(await feed()).toEqual([
      ['op', 'backends'],
      ['op', 'backends'],
    ]);
    expect(await functions.backendRemove('web-1')).toEqual({ done: false, why: 'gone' });
    expect(await feed()).toHaveLength(2);
  });

  it('refuses to leave only backends with a weight of 0', async () => {
    await functions.backendPatch('web-1', { id: 1, address: '10.0.0.1:80' });
    await functions.backendPatch('web-2', { id: 2, address: '10.0.0.2:80', weight: 0 });
    const before = await dump();
    const wrong = 'weight: found 0 for all that would be left, allowed: over 0 for at least one';
    await expect(functions.backendRemove('web-1')).rejects.toThrow(wrong);
    expect(await dump()).toBe(before);
    expect(await functions.backendRemove('web-9')).toMatchObject({ done: false });
    // The one with a weight stays when the other goes, and the last may go.
    expect(await functions.backendRemove('web-2')).toMatchObject({ done: true });
    expect(await functions.backendRemove('web-1')).toMatchObject({ done: true });
  });
});

describe('session_deny', () => {
  it('sets and takes back a revocation', async () => {
    const hash = cookieHash('abc');
    expect(await functions.sessionDeny(hash, 253_402_300_799_999)).toEqual({ id: await lastId() });
    expect(await redis.zscore('gateway:denied', hash)).toBe('253402300799999');
    await functions.sessionDeny(hash, 0);
    expect(await redis.exists('gateway:denied')).toBe(0);
    expect(await feed()).toEqual([
      ['op', 'denied', 'hash', hash, 'until', '253402300799999'],
      ['op', 'denied', 'hash', hash, 'until', '0'],
    ]);
  });
});

describe('session_deny, among all revocations', () => {
  it('removes those that ended more than a minute ago, a thousand at a time', async () => {
    const now = Date.now();
    for (let i = 0; i < 1_500; i++) await redis.zadd('gateway:denied', now - 120_000, cookieHash(`old ${i}`));
    await redis.zadd('gateway:denied', now - 1_000, cookieHash('just ended'));
    await functions.sessionDeny(cookieHash('a'), now + 60_000);
    expect(await redis.zcard('gateway:denied')).toBe(502);
    await functions.sessionDeny(cookieHash('a'), 0);
    expect(await redis.zrange('gateway:denied', '0', '-1')).toEqual([cookieHash('just ended')]);
  });

  it('refuses more than the kernel holds, and still takes back and prolongs', async () => {
    const fill = "for i = 1, 262143 do redis.call('ZADD', KEYS[1], 253402300799999, string.format('%032x', i)) end";
    await redis.eval(fill, 1, 'gateway:denied');
    await functions.sessionDeny(cookieHash('a'), 253_402_300_799_999);
    await expect(functions.sessionDeny(cookieHash('b'), 253_402_300_799_999)).rejects.toThrow(
      'found 262144 denied sessions already, allowed: at most 262144',
    );
    expect(await redis.zscore('gateway:denied', cookieHash('b'))).toBeNull();
    // One that has just ended and is still there would be one too many, too.
    await redis.zadd('gateway:denied', Date.now() - 1_000, cookieHash('c'));
    await expect(functions.sessionDeny(cookieHash('c'), 253_402_300_799_999)).rejects.toThrow('at most 262144');
    await functions.sessionDeny(cookieHash('a'), 253_402_300_799_998);
    await functions.sessionDeny(cookieHash('a'), 0);
    await functions.sessionDeny(cookieHash('b'), 253_402_300_799_999);
  });
});

describe('fact_set, among all facts', () => {
  it('refuses more than the kernel holds, and still changes those that are there', async () => {
    await redis.eval("for i = 1, 4096 do redis.call('HSET', KEYS[1], 'f' .. i, '') end", 1, 'gateway:facts');
    await expect(functions.factSet('new', '1')).rejects.toThrow('found 4096 facts already, allowed: at most 4096');
    await functions.factSet('f1', '1');
    await functions.factRemove('f2');
    await functions.factSet('new', '1');
  });
});

describe('fact_set and fact_remove', () => {
  it('keep the value and the id of its feed entry', async () => {
    const { id } = await functions.factSet('epoch', 'v'.repeat(24));
    expect(await lastId()).toBe(id);
    expect(await redis.hgetall('gateway:facts')).toEqual({ epoch: 'v'.repeat(24) });
    expect(await redis.hgetall('gateway:fact-ids')).toEqual({ epoch: id });
    expect(await functions.factRemove('epoch')).toEqual({ done: true, id: await lastId() });
    expect(await redis.keys('gateway:*')).toEqual([]);
    expect(await functions.factRemove('epoch')).toEqual({ done: false, why: 'gone' });
    expect(await feed()).toEqual([
      ['op', 'fact', 'name', 'epoch'],
      ['op', 'fact', 'name', 'epoch'],
    ]);
  });

  it('take an empty value', async () => {
    await functions.factSet('epoch', '');
    expect(await redis.hget('gateway:facts', 'epoch')).toBe('');
  });
});

describe('refusals', () => {
  const S = 'sess:abc';
  const B = 'gateway:backends';
  const long = 'x'.repeat(257);
  const cases: [string, string[], string][] = [
    ['session_set', [S, FEED, '', 'web-1', '1'], 'sid: found 0 bytes, allowed: 1 to 1024'],
    ['session_set', [`sess:${'s'.repeat(1025)}`, FEED, 's'.repeat(1025), 'web-1', '1'], 'sid: found 1025 bytes'],
    ['session_set', ['sess:other', FEED, 'abc', 'web-1', '1'], 'keys[1]: found one that does not end with sid'],
    ['session_set', ['c', FEED, 'abc', 'web-1', '1'], 'keys[1]: found one that does not end with sid'],
    ['session_set', [S, FEED, 'abc', '', '1'], 'backend: found 0 bytes, allowed: 1 to 256'],
    ['session_set', [S, FEED, 'abc', long, '1'], 'backend: found 257 bytes'],
    ['session_set', [S, FEED, 'abc', 'a\nb', '1'], 'backend: found a control character'],
    ['session_set', [S, FEED, 'abc', 'web-1', '0'], 'ttl ms: found "0", allowed: an integer from 1 to 3155760000000'],
    ['session_set', [S, FEED, 'abc', 'web-1', '-1'], 'ttl ms: found "-1"'],
    ['session_set', [S, FEED, 'abc', 'web-1', '1.5'], 'ttl ms: found "1.5"'],
    ['session_set', [S, FEED, 'abc', 'web-1', '1e3'], 'ttl ms: found "1e3"'],
    ['session_set', [S, FEED, 'abc', 'web-1', 'soon'], 'ttl ms: found "soon"'],
    ['session_set', [S, FEED, 'abc', 'web-1', '3155760000001'], 'ttl ms: found "3155760000001"'],
    ['session_set', [S, FEED, 'abc', 'web-1', '9'.repeat(30)], 'ttl ms: found "999999999999999999999999"'],
    ['session_set', [S, FEED, 'abc', 'web-1'], 'arguments: found 2, allowed: 3, sid, backend, ttl ms'],
    ['session_set', [S, 'text', 'abc', 'web-1', '1'], 'its key: found a string, allowed: a stream'],
    ['session_set', ['sess:text', FEED, 'text', 'web-1', '1'], 'its key: found a string, allowed: a hash'],
    ['session_touch', ['sess:text', FEED, 'text', '1'], 'its key: found a string, allowed: a hash'],
    ['session_touch', [S, FEED, 'abc', '0'], 'ttl ms: found "0"'],
    ['session_touch', [S, FEED, 'abd', '1'], 'keys[1]: found one that does not end with sid'],
    ['session_move', [S, FEED, 'abc', '', 'b'], 'from: found 0 bytes'],
    ['session_move', [S, FEED, 'abc', 'a', long], 'to: found 257 bytes'],
    ['session_move', ['sess:text', FEED, 'text', 'a', 'b'], 'its key: found a string'],
    ['session_del', ['sess:text', FEED, 'text'], 'its key: found a string, allowed: a hash'],
    ['session_del', [S, FEED, ''], 'sid: found 0 bytes'],
    ['backend_patch', [B, FEED, '', '{}'], 'name: found 0 bytes'],
    ['backend_patch', [B, FEED, 'a\tb', '{}'], 'name: found a control character'],
    ['backend_patch', ['gateway:servers', FEED, 'a', '{}'], 'keys[1]: found one that does not end with backends'],
    ['backend_patch', ['text:backends', FEED, 'a', '{}'], 'its key: found a string'],
    ['backend_patch', [B, FEED, 'a', '[1]'], 'fields: found text that is not a JSON object'],
    ['backend_patch', [B, FEED, 'a', '{"id":'], 'fields: found text that is not a JSON object'],
    [
      'backend_patch',
      [B, FEED, 'a', `{"address":"${'x'.repeat(4096)}"}`],
      'fields: found text that is not a JSON object',
    ],
    ['backend_patch', [B, FEED, 'a', '{"port":1}'], 'fields: found "port", allowed: id, address, state, weight, shed'],
    [
      'backend_patch',
      [B, FEED, 'a', '{"address":"10.0.0.1:1"}'],
      'id: found nothing, allowed: an integer from 1 to 65535',
    ],
    ['backend_patch', [B, FEED, 'a', '{"id":1}'], 'address: found nothing, allowed: an IP literal and a port'],
    ...['0', '65536', '1.5', '"1"', 'null', '[1]', 'true', 'NaN'].map((id): [string, string[], string] => [
      'backend_patch',
      [B, FEED, 'a', `{"id":${id},"address":"10.0.0.1:1"}`],
      'id: found ',
    ]),
    ...['"gone"', '"ACTIVE"', '1', 'null', '{}'].map((state): [string, string[], string] => [
      'backend_patch',
      [B, FEED, 'a', `{"id":1,"address":"10.0.0.1:1","state":${state}}`],
      'state: found ',
    ]),
    ['backend_patch', [B, FEED, 'a', '{"id":1,"address":"10.0.0.1:1","weight":65536}'], 'weight: found "65536"'],
    ['backend_patch', [B, FEED, 'a', '{"id":1,"address":"10.0.0.1:1","weight":-1}'], 'weight: found "-1"'],
    ['backend_patch', [B, FEED, 'a', '{"id":1,"address":"10.0.0.1:1","shed":10001}'], 'shed: found "10001"'],
    ['backend_remove', [B, FEED, long], 'name: found 257 bytes'],
    ['backend_remove', ['gateway:x', FEED, 'a'], 'keys[1]: found one that does not end with backends'],
    ['session_deny', ['gateway:denied', FEED, 'A'.repeat(32), '1'], 'cookie hash: found other text'],
    ['session_deny', ['gateway:denied', FEED, 'a'.repeat(31), '1'], 'cookie hash: found other text'],
    ['session_deny', ['gateway:denied', FEED, 'a'.repeat(32), '253402300800000'], 'until: found "253402300800000"'],
    ['session_deny', ['gateway:denied', FEED, 'a'.repeat(32), ''], 'until: found ""'],
    ['session_deny', ['text', FEED, 'a'.repeat(32), '1'], 'its key: found a string, allowed: a zset'],
    ['fact_set', ['gateway:facts', FEED, '', 'v'], 'name: found 0 bytes'],
    ['fact_set', ['gateway:facts', FEED, 'n', 'v'.repeat(25)], 'value: found 25 bytes, allowed: 0 to 24'],
    ['fact_set', ['gateway:truth', FEED, 'n', 'v'], 'keys[1]: found one that does not end with facts'],
    ['fact_remove', ['gateway:facts', FEED, long], 'name: found 257 bytes'],
  ];

  it.each(cases)('%s, case %#', async (name, [key, feedKey, ...args], message) => {
    await redis.set('text', 'x');
    await redis.set('sess:text', 'x');
    await redis.set('text:backends', 'x');
    const before = await dump();
    const call = redis.call('FCALL', name, 2, key as string, feedKey as string, ...args);
    await expect(call).rejects.toThrow(`ERR ${name}: ${message}`);
    expect(await dump()).toBe(before);
  });

  it('refuses another number of keys', async () => {
    await expect(redis.call('FCALL', 'session_del', 1, 'sess:abc', 'abc')).rejects.toThrow('keys: found 1, allowed: 2');
  });

  it('never shows a session id', async () => {
    const sid = 'very-secret-session-id';
    const failures = await Promise.allSettled([
      functions.sessionSet(sid, '', 1),
      functions.sessionSet(sid, 'web-1', 0),
      redis.call('FCALL', 'session_del', 2, 'sess:x', FEED, sid),
    ]);
    for (const failure of failures) {
      expect(failure.status).toBe('rejected');
      expect(String((failure as PromiseRejectedResult).reason)).not.toContain(sid);
    }
    const refused = (failures[0] as PromiseRejectedResult).reason as SyncError;
    expect(refused.code).toBe('FUNCTION_REFUSED');
    expect(inspect(refused, { depth: null, showHidden: true })).not.toContain(sid);
  });

  it('changes nothing where the feed can take no entry', async () => {
    await functions.sessionSet('abc', 'web-1', 60_000);
    await redis.call('XADD', FEED, '18446744073709551615-18446744073709551615', 'op', 'x');
    const before = await dump();
    await expect(functions.sessionSet('abc', 'web-2', 60_000)).rejects.toThrow();
    await expect(functions.sessionDelete('abc')).rejects.toThrow();
    expect(await dump()).toBe(before);
  });
});

describe('installation', () => {
  it('loads the library where it is missing, and only there', async () => {
    await redis.call('FUNCTION', 'FLUSH');
    expect(await installLibrary(redis)).toBe('installed');
    expect(await installLibrary(redis)).toBe('current');
  });

  it('replaces an older one and one of the same version with other code, and leaves a newer one', async () => {
    const load = (version: string) =>
      redis.call(
        'FUNCTION',
        'LOAD',
        'REPLACE',
        `#!lua name=session_gateway\n${version}\nredis.register_function('session_del', function() return 7 end)`,
      );
    await load('-- no version');
    expect(await installLibrary(redis)).toBe('upgraded');
    await load(`-- version: ${LIBRARY_VERSION}`);
    expect(await installLibrary(redis)).toBe('upgraded');
    await load(`-- version: ${LIBRARY_VERSION + 1}`);
    expect(await installLibrary(redis)).toBe('newer');
    expect(await redis.call('FCALL', 'session_del', 2, 'a', 'b')).toBe(7);
    await redis.call('FUNCTION', 'FLUSH');
  });

  it('happens by itself when a call finds no function', async () => {
    await redis.call('FUNCTION', 'FLUSH');
    await functions.sessionSet('abc', 'web-1', 60_000);
    expect(await redis.hget('sess:abc', 'backend')).toBe('web-1');
    expect(await feed()).toHaveLength(1);
  });

  it('works over a client that speaks RESP3', async () => {
    const resp3 = server.client({ protocol: 3 });
    await redis.call('FUNCTION', 'FLUSH');
    expect(await installLibrary(resp3)).toBe('installed');
    expect((await functionsOf(resp3).sessionDelete('abc')).existed).toBe(false);
  });
});
