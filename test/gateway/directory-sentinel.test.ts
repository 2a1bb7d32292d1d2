import { afterEach, expect, test } from 'vitest';
import { parseConfig } from '../../src/gateway/config.ts';
import { RedisDirectory } from '../../src/gateway/directory.ts';
import { redisAccess } from '../../src/gateway/redis-access.ts';
import { until } from '../sync/harness.ts';
import { PlayedSentinel } from '../sync/played-sentinel.ts';
import { freePorts, RedisNode } from '../sync/redis-node.ts';

let nodes: RedisNode[] = [];
let sentinel: PlayedSentinel;
let directory: RedisDirectory;
afterEach(async () => {
  await directory?.close();
  sentinel?.stop();
  await Promise.all(nodes.map((node) => node.stop()));
});

test('a change that meets a former master goes to the new one', async () => {
  const ports = await freePorts(2, 23_900);
  nodes = await Promise.all(ports.map((port) => RedisNode.start({ port })));
  const [old, next] = nodes as [RedisNode, RedisNode];
  sentinel = new PlayedSentinel(old.port);
  const { port } = await sentinel.listen();
  const redis = { sentinel: { name: 'main', nodes: [`127.0.0.1:${port}`] } };
  const config = parseConfig(JSON.stringify({ redis }), '/etc/gateway.yaml');
  directory = new RedisDirectory(config, redisAccess(config));
  await directory.patchBackend('web-1', { id: 1, address: '10.0.0.1:80' });

  sentinel.answer = { host: '127.0.0.1', port: next.port, epoch: 2 };
  await old.client().replicaof('127.0.0.1', next.port);
  expect(await directory.patchBackend('web-2', { id: 2, address: '10.0.0.2:80' })).toMatchObject({ id: 2 });
  expect(await next.client().hkeys('gateway:backends')).toEqual(['web-2']);

  // As long as nobody says who is the new one it is told, and nothing is changed.
  sentinel.answer = { host: '127.0.0.1', port: old.port, epoch: 3 };
  await next.client().replicaof('127.0.0.1', old.port);
  await expect(directory.patchBackend('web-3', { id: 3, address: '10.0.0.3:80' })).rejects.toMatchObject({
    code: 'REDIS_UNREACHABLE',
    message: expect.stringMatching(
      /Redis at master main of sentinels .* can't be reached: .* its role is slave; check/,
    ),
  });
  await until('nobody is asked any more', () => sentinel.sockets.size === 0);
});
