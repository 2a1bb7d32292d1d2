import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeId, nodeOptions } from '../../../src/sync/redis/redis-options.ts';
import { redisTarget } from '../../../src/sync/redis/redis-target.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import { freePorts, RedisNode } from '../redis-node.ts';

const { signal } = new AbortController();
let node: RedisNode;
beforeAll(async () => {
  const [port = 0] = await freePorts(1, 23_800);
  node = await RedisNode.start({ port });
});
afterAll(() => node?.stop());

describe('a URL', () => {
  it('leads to the one server, which has all slots', async () => {
    const target = redisTarget({ url: `redis://${node.address}/2` }, systemRuntime);
    const [master, ...others] = await target.masters(signal);
    expect(others).toEqual([]);
    expect(master).toMatchObject({ id: node.address, slots: [[0, 16_383]] });
    expect(await target.master('me', signal)).toMatchObject({ port: node.port, db: 2, connectionName: 'me' });
    const opened = [await target.openMaster('a', signal), await master?.open('b', signal)];
    for (const connection of opened) {
      expect(await connection?.call('PING')).toEqual(Buffer.from('PONG'));
      connection?.drop();
    }
  });

  it('leads to a replica too, where that is what it says', async () => {
    await node.client().replicaof('127.0.0.1', 1);
    const connection = await redisTarget({ url: `redis://${node.address}` }, systemRuntime).openMaster('a', signal);
    expect(((await connection.call('ROLE')) as unknown[])[0]).toEqual(Buffer.from('slave'));
    connection.drop();
    await node.client().replicaof('NO', 'ONE');
  });

  it.each([['http://h'], ['localhost'], ['redis://h/x']])('that is impossible is refused at once: %s', (url) => {
    expect(() => redisTarget({ url }, systemRuntime)).toThrow(/redis\.url: found/);
  });
});

describe('a node', () => {
  it('is reached with TLS as it is at that time', () => {
    let ca = 'old';
    const login = { username: 'u', password: 'p', tls: () => ({ ca }) };
    expect(nodeOptions({ host: 'h', port: 1 }, login, 'me')).toMatchObject({
      host: 'h',
      port: 1,
      username: 'u',
      password: 'p',
      tls: { ca: 'old' },
      connectionName: 'me',
      retryStrategy: null,
    });
    ca = 'new';
    expect(nodeOptions({ host: 'h', port: 1 }, login, 'me').tls).toEqual({ ca: 'new' });
    expect(nodeOptions({ host: 'h', port: 1 }, { tls: null }, 'me')).not.toHaveProperty('tls');
  });

  it('is called by host and port', () => {
    expect(nodeId({ host: 'h', port: 1 })).toBe('h:1');
    expect(nodeId({ host: '2001:db8::1', port: 1 })).toBe('[2001:db8::1]:1');
  });
});
