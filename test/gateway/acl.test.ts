/** The users that docs/redis.md gives, line by line, are enough; and what is missing is told. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/gateway/config.ts';
import { RedisDirectory } from '../../src/gateway/directory.ts';
import { redisAccess } from '../../src/gateway/redis-access.ts';
import { redisTarget } from '../../src/sync/redis/redis-target.ts';
import { systemRuntime } from '../../src/sync/runtime.ts';
import { ClusterSetup } from '../sync/cluster-setup.ts';
import {
  addBackends,
  FEED,
  functionsOf,
  liveInRedis,
  newSync,
  type Running,
  until,
  untilInStep,
  untilReady,
} from '../sync/harness.ts';
import { freePorts, RedisNode } from '../sync/redis-node.ts';

const LOGIN = { username: 'gateway', password: 'PASSWORD' };
const DOCUMENT = fileURLToPath(new URL('../../docs/redis.md', import.meta.url));

/** The rules of the line after this comment, or of the first line; without the user's name. */
function rules(comment = ''): string[] {
  const section = readFileSync(DOCUMENT, 'utf8').split('## Access control')[1] ?? '';
  const after = comment === '' ? section : section.split(`# ${comment}\n`)[1];
  const line = /^ACL SETUSER gateway (.+)$/m.exec(after ?? '')?.[1];
  if (line === undefined) throw new Error(`docs/redis.md has no user for: ${comment}`);
  return line.split(' ');
}

let node: RedisNode;
let folder: string;
let running: Running | undefined;
let directory: RedisDirectory | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'session-gateway-acl-'));
  writeFileSync(join(folder, 'pw'), LOGIN.password);
  const [port = 0] = await freePorts(1, 23_700);
  node = await RedisNode.start({ port, settings: ['notify-keyspace-events Kg$hzxe'] });
  await addBackends(node.client(), 2);
  await functionsOf(node.client()).sessionSet('a', 'web-1', 3_600_000);
});
afterEach(async () => {
  try {
    await running?.sync.stop();
    await directory?.close();
  } finally {
    [running, directory] = [undefined, undefined];
    await node?.stop();
    rmSync(folder, { recursive: true });
  }
});

async function allow(...lists: string[][]): Promise<void> {
  for (const list of lists) await node.client().call('ACL', 'SETUSER', LOGIN.username, ...list);
}

function follow(from: 'stream' | 'notifications', asks = false): Running {
  const feed = { from, stream: FEED, reconcileEveryMs: 3_600_000 };
  running = newSync({ url: '' }, { redis: { url: `redis://${node.address}`, ...LOGIN }, feed, asks });
  running.sync.start();
  return running;
}

function open(): RedisDirectory {
  const redis = { url: `redis://${node.address}`, username: LOGIN.username, passwordFile: 'pw' };
  const config = parseConfig(JSON.stringify({ redis }), join(folder, 'gateway.yaml'));
  directory = new RedisDirectory(config, redisAccess(config));
  return directory;
}

describe('the documented user', { timeout: 60_000 }, () => {
  test.each([
    ['stream', []],
    ['notifications', ['feed.from: notifications']],
  ] as const)('follows the sessions by %s', async (from, more) => {
    await allow(rules(), ...more.map(rules));
    const started = follow(from);
    await untilReady(started);
    await functionsOf(node.client()).sessionSet('b', 'web-2', 3_600_000);
    await functionsOf(node.client()).sessionDelete('a');
    await functionsOf(node.client()).backendPatch('web-1', { state: 'draining' });
    await functionsOf(node.client()).sessionDeny('a'.repeat(32), 253_402_300_799_999);
    await functionsOf(node.client()).factSet('epoch', '7');
    await untilInStep(started);
    expect([started.table.denied().size, started.table.factNames().length]).toEqual([1, 1]);
    expect(started.table.live()).toEqual(await liveInRedis(node.client()));
    expect(started.sync.status().lastError).toBeNull();
    // Redis keeps what it has refused.
    expect(await node.client().call('ACL', 'LOG')).toEqual([]);
  });

  test('asks about misses', async () => {
    await allow(rules(), rules('sessions.onMiss: ask-redis, with a feed'));
    const started = follow('stream', true);
    await untilReady(started);
    await until('asked', () => started.sync.ask('0'.repeat(32)));
    expect(await node.client().call('ACL', 'LOG')).toEqual([]);
  });

  test('reads by commands, and changes nothing', async () => {
    await allow(rules(), rules('reading backends and sessions by commands and API'));
    expect((await open().backends()).backends).toHaveLength(2);
    expect(await directory?.session('a')).toMatchObject({ backend: 'web-1' });
    await expect(directory?.patchBackend('web-1', { state: 'down' })).rejects.toMatchObject({
      code: 'REDIS_REFUSED',
      message: expect.stringMatching(/FCALL: NOPERM.*'fcall'/),
    });
  });

  test('changes backends and sessions by commands, and installs the library', async () => {
    await allow(
      rules(),
      rules('reading backends and sessions by commands and API'),
      rules('changing backends and sessions by commands and API'),
    );
    await node.client().call('FUNCTION', 'FLUSH');
    const opened = open();
    expect(await opened.installLibrary()).toBe('installed');
    await opened.patchBackend('web-3', { id: 3, address: '10.0.0.3:80' });
    await opened.setSession('c', 'web-3', 60_000);
    await opened.moveSession('c', 'web-1');
    await opened.removeSession('c');
    await opened.removeBackend('web-3');
    await opened.denySession('c', 253_402_300_799_999);
    await opened.setFact('epoch', '1');
    await opened.fact('epoch');
    await opened.removeFact('epoch');
    const client = new Redis({ port: node.port, ...LOGIN, protocol: 2, enableReadyCheck: false });
    const functions = functionsOf(client);
    await functions.sessionSet('d', 'web-1', 60_000);
    expect(await functions.sessionTouch('d', 50_000)).toMatchObject({ done: true });
    expect(await functions.sessionMove('d', 'web-1', 'web-2')).toMatchObject({ done: true });
    await functions.sessionDeny('0'.repeat(32), 253402300799999);
    await functions.sessionDeny('0'.repeat(32), 0);
    await functions.factSet('f', 'v');
    expect(await functions.factRemove('f')).toMatchObject({ done: true });
    client.disconnect();
    expect(await node.client().call('ACL', 'LOG')).toEqual([]);
  });

  test('settles, with what that needs besides', async () => {
    await allow(
      rules(),
      rules('reading backends and sessions by commands and API'),
      rules('changing backends and sessions by commands and API'),
    );
    const opened = open();
    await opened.patchBackend('web-1', { state: 'draining' });
    const options = { rate: 1_000, dryRun: false, signal: new AbortController().signal };
    await expect(opened.settle('web-1', options)).rejects.toMatchObject({
      code: 'REDIS_REFUSED',
      message: expect.stringMatching(/NOPERM.*'watch'/),
    });
    await node.client().call('ACL', 'LOG', 'RESET');
    await allow(rules('gateway settle, besides'));
    expect(await opened.settle('web-1', options)).toMatchObject({ moved: 1, complete: true });
    expect(await node.client().call('ACL', 'LOG')).toEqual([]);
  });

  test('finds the masters of a cluster', async () => {
    const setup = await ClusterSetup.start(23_750, { masters: 1 });
    try {
      for (const list of [rules(), rules('sentinel and cluster'), rules('cluster')]) {
        await setup.masters[0]?.client().call('ACL', 'SETUSER', LOGIN.username, ...list);
      }
      const { signal } = new AbortController();
      const [master] = await redisTarget({ ...setup.config, ...LOGIN }, systemRuntime).masters(signal);
      (await master?.open('test', signal))?.drop();
      expect(master?.id).toBe(setup.masters[0]?.address);
    } finally {
      await setup.stop();
    }
  });
});

describe('what the user may not do is told with the command', { timeout: 60_000 }, () => {
  const commands = rules().filter((rule) => rule.startsWith('+') && rule !== '+info');
  // A name and the database 0 can be done without, and strings are not read where the sessions are hashes.
  const harmless = ['+select', '+client|setname', '+get', '+strlen'];

  test.each(commands.filter((command) => !harmless.includes(command)))('without %s', async (missing) => {
    await allow(
      rules().filter((rule) => rule !== missing),
      [missing.replace('+', '-')],
    );
    const started = follow('stream');
    const message = () => started.sync.status().lastError?.message ?? '';
    await until('told', () => message() !== '' || started.sync.status().state === 'following');
    const [command = ''] = missing.slice(1).split('|');
    // Redis 7.0 names no command that it refuses to a script, but keeps it.
    if (!message().includes('NOPERM')) expect(message()).toMatch(/can't run this command.*"Access control"; ACL LOG/);
    else expect(message()).toMatch(new RegExp(`NOPERM.*'${command}`));
    expect(String(await node.client().call('ACL', 'LOG'))).toContain(command);
  });
});
