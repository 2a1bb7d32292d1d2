import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/gateway/config.ts';
import { RedisDirectory } from '../../src/gateway/directory.ts';
import { redisAccess } from '../../src/gateway/redis-access.ts';
import { LIBRARY_NAME } from '../../src/sync/redis/functions.ts';
import { hashSlot } from '../../src/sync/redis/hash-slot.ts';
import { ClusterSetup } from '../sync/cluster-setup.ts';
import { until } from '../sync/harness.ts';

const WEB_1 = { id: 1, address: '10.0.0.11:8080' };
const TAGGED = { names: '{gateway}:', stream: '{gateway}:feed' };

let setup: ClusterSetup;
let directory: RedisDirectory;
beforeAll(async () => {
  setup = await ClusterSetup.start(23_400);
}, 60_000);
afterAll(() => setup?.stop());
afterEach(() => directory?.close());

function open({ names, stream } = TAGGED): RedisDirectory {
  const cluster = { nodes: setup.masters.map(({ address }) => address) };
  const text = JSON.stringify({ redis: { cluster, names }, feed: { from: 'notifications', stream } });
  const config = parseConfig(text, '/etc/gateway.yaml');
  directory = new RedisDirectory(config, redisAccess(config));
  return directory;
}

describe('in a cluster', { timeout: 60_000 }, () => {
  test('the function library is loaded into every master', async () => {
    expect(await open().installLibrary()).toBe('installed');
    for (const master of setup.masters) {
      expect(await master.client().call('FUNCTION', 'LIST', 'LIBRARYNAME', LIBRARY_NAME)).toHaveLength(1);
    }
    expect(await directory.installLibrary()).toBe('current');
    await setup.masters[1]?.client().call('FUNCTION', 'FLUSH');
    expect(await directory.installLibrary()).toBe('installed');
  });

  test('backends are changed where their tables and the feed share a slot, also while that moves', async () => {
    const opened = open();
    expect(await opened.patchBackend('web-1', WEB_1)).toMatchObject(WEB_1);
    const slot = hashSlot(TAGGED.stream);
    const from = setup.masters[Math.floor(slot / Math.ceil(16_384 / 3))];
    const to = setup.masters.find((master) => master !== from);
    if (from === undefined || to === undefined) throw new Error('two masters are needed');
    await setup.moveSlot(slot, from, to);
    expect(await opened.patchBackend('web-2', { id: 2, address: '10.0.0.12:80' })).toMatchObject({ id: 2 });
    expect((await opened.backends()).backends.map(({ name }) => name)).toEqual(['web-1', 'web-2']);
    await opened.removeBackend('web-2');
    expect((await opened.backends()).backends.map(({ name }) => name)).toEqual(['web-1']);
    await setup.moveSlot(slot, to, from);
  });

  test('one that sessions are stored on, whichever node has them, is removed by force only', async () => {
    const opened = open();
    await opened.patchBackend('web-5', { id: 5, address: '10.0.0.15:80' });
    for (const [i, master] of setup.masters.entries()) {
      // Of as many keys some are on each.
      const keys = Array.from({ length: 1_000 }, (_, n) => `sess:use ${i} ${n}`);
      const key = keys.find((each) => Math.floor(hashSlot(each) / Math.ceil(16_384 / 3)) === i) ?? '';
      await setup.client().hset(key, 'backend', 'web-5');
      expect(await master.client().exists(key)).toBe(1);
      await expect(opened.removeBackend('web-5')).rejects.toMatchObject({ code: 'BACKEND_IN_USE' });
      await setup.client().del(key);
    }
    await setup.client().hset('sess:use', 'backend', 'web-5');
    await expect(opened.removeBackend('web-5')).rejects.toMatchObject({ code: 'BACKEND_IN_USE' });
    await opened.removeBackend('web-5', { force: true });
    expect((await opened.backends()).backends.map(({ name }) => name)).not.toContain('web-5');
    await setup.client().del('sess:use');
    await opened.patchBackend('web-5', { id: 5, address: '10.0.0.15:80' });
    await opened.removeBackend('web-5');
  });

  test('they are only read where they do not, and it is said what to do', async () => {
    const opened = open({ names: 'gateway:', stream: 'sessions:feed' });
    await setup.client().hset('gateway:backends', 'web-7', JSON.stringify({ id: 7, address: '10.0.0.7:80' }));
    expect((await opened.backends()).backends).toMatchObject([{ name: 'web-7', id: 7 }]);
    for (const change of [() => opened.patchBackend('web-1', WEB_1), () => opened.removeBackend('web-7')]) {
      expect(change).toThrow(
        expect.objectContaining({
          code: 'BACKEND_REFUSED',
          message: expect.stringMatching(/share a hash slot.*"\{gateway\}:feed"/),
        }),
      );
    }
  });

  test('sessions are read, and left to the application', async () => {
    const opened = open();
    for (let i = 0; i < 20; i++) {
      await setup.client().hset(`sess:s${i}`, 'backend', 'web-1');
      expect(await opened.session(`s${i}`)).toEqual({ backend: 'web-1', ttlMs: null });
    }
    for (const change of [() => opened.setSession('s1', 'web-1', 1000), () => opened.removeSession('s1')]) {
      expect(change).toThrow(
        expect.objectContaining({
          code: 'SESSION_REFUSED',
          message: expect.stringMatching(/different hash slots; let the application/),
        }),
      );
    }
  });

  test('a node that is away is got over, and a cluster that is away is told', async () => {
    const opened = open();
    const [first, ...others] = setup.masters;
    await opened.patchBackend('web-1', WEB_1);
    for (const master of setup.masters) await master.kill();
    await expect(opened.backends()).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/Redis at cluster of 127\.0\.0\.1:\d+, /),
    });
    await Promise.all([first, ...others].map((master) => master?.launch()));
    await setup.agreed(setup.masters);
    await until('it works again', () =>
      opened.patchBackend('web-1', WEB_1).then(
        () => true,
        () => false,
      ),
    );
  });
});
