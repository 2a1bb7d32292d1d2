/**
 * The datapath outlives the daemon: while daemons are killed, upgraded, refused and fail to start, every lookup is
 * answered, and right.
 */
import * as fs from 'node:fs';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { OtherVersion } from './other-version.ts';
import { until } from './until.ts';

const SESSIONS = 200;
const FEED = 'sessions:feed';
const BOUND_MS = 60_000;
const first = randomKey(1);
const second = randomKey(2);

let stage: Stage;
let redis: Redis;
let client: LookupClient;
let key: Key;
let otherKey: Key;
const versions: OtherVersion[] = [];

beforeAll(async () => {
  stage = new Stage({ name: `sgwout-${process.pid}`, capacity: 1_000 });
  [key, otherKey] = stage.writeKeys([first, second]) as [Key, Key];
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  for (const id of [1, 2])
    await redis.fcall(
      'backend_patch',
      2,
      'gateway:backends',
      FEED,
      `app-${id}`,
      JSON.stringify({ id, address: `10.1.0.${id}:80` }),
    );
  for (let i = 0; i < SESSIONS; i++)
    await redis.fcall('session_set', 2, `sess:s${i}`, FEED, `s${i}`, `app-${1 + (i % 2)}`, 3_600_000);
  stage.writeKeys([first]);
  client = clientOf(key, 5_000);
  await stage.startGateway();
});
afterAll(async () => {
  await client?.close();
  redis?.disconnect();
  await stage?.close();
  for (const version of versions) version.remove();
});
/** Each test begins with a daemon that runs, and leaves one. */
afterEach(async () => {
  if (stage.gateway === undefined) await stage.startGateway();
});

/** One try alone, so that a reply that is missing is seen. */
function clientOf(key: Key, timeoutMs: number): LookupClient {
  const servers = [{ host: GATEWAY_IPV4, port: stage.port }];
  return createLookupClient({ servers, key, timeoutMs, tryTimeoutMs: timeoutMs });
}

function otherVersion(edit: { file: string; from: string; to: string }): OtherVersion {
  const version = new OtherVersion(edit);
  versions.push(version);
  return version;
}

/** Asks without pause while `action` runs; every answer must be FOUND, from the right backend. */
async function losesNothing(action: () => Promise<void>): Promise<void> {
  let running = true;
  let asked = 0;
  const wrong: unknown[] = [];
  const load = async () => {
    while (running) {
      const i = asked++ % SESSIONS;
      const result = await client.lookup(`s${i}`);
      if (result.status !== 'FOUND' || result.backend !== 1 + (i % 2)) wrong.push(result);
    }
  };
  const loads = [load(), load()];
  try {
    await action();
  } finally {
    running = false;
    await Promise.all(loads);
  }
  expect(wrong).toEqual([]);
  expect(asked).toBeGreaterThan(100);
}

/** The first load is in, and the maps of the program before are gone: this daemon's program answers everywhere. */
async function hasTakenOver(): Promise<void> {
  await until(async () => mapDirectories().length === 2, BOUND_MS);
}

const mapDirectories = (): string[] => fs.readdirSync(stage.pins).filter((name) => name !== 'links');

async function replace(change: Parameters<Stage['writeConfig']>[0]): Promise<void> {
  await stage.stopGateway();
  stage.writeConfig(change);
  await stage.startGateway();
  await hasTakenOver();
}

describe('no lookup is lost or wrong', () => {
  test('when the daemon is killed, again and again, and started anew', async () => {
    await losesNothing(async () => {
      for (let i = 0; i < 3; i++) {
        await stage.stopGateway('SIGKILL');
        await stage.startGateway();
      }
    });
  });

  test('in an upgrade to a program of other code, and back', async () => {
    const from = 'verdict = answer(ctx);\n\tif (verdict < VERDICT_COUNT)';
    const version = otherVersion({
      file: 'gateway.bpf.c',
      from,
      to: `(void)bpf_ktime_get_ns();\n\t${from}`,
    });
    const before = mapDirectories();
    await losesNothing(async () => {
      await replace({ command: version.command });
      expect(mapDirectories()).toEqual(before);
      await replace({ command: undefined });
    });
  });

  test('in an upgrade to tables of another size, and back', async () => {
    const before = mapDirectories();
    await losesNothing(async () => {
      await replace({ capacity: 2_000 });
      expect(mapDirectories()).not.toEqual(before);
      await replace({ capacity: 1_000 });
    });
    expect(mapDirectories()).toEqual(before);
  });

  test('in an upgrade to a version with maps of another layout, and back', async () => {
    const from = 'LAYOUT_REVISION = ';
    const version = otherVersion({ file: 'abi.h', from, to: `${from}1000 + ` });
    await losesNothing(async () => {
      await replace({ command: version.command });
      await replace({ command: undefined });
    });
  });

  test('while an upgrade waits for Redis, killed in between: the program before answers, with the new keys', async () => {
    const redisPid = stage.redis?.pid ?? Number.NaN;
    const other = clientOf(otherKey, 500);
    await losesNothing(async () => {
      await stage.stopGateway();
      process.kill(redisPid, 'SIGSTOP');
      try {
        stage.writeConfig({ capacity: 3_000 });
        stage.startGateway().catch(() => undefined);
        await until(async () => (await stage.status())?.['ready'] === false, BOUND_MS);
        expect((await other.lookup('s0')).status).toBe('UNREACHABLE');
        stage.writeKeys([first, second]);
        expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
        await until(async () => (await other.lookup('s0')).status === 'FOUND', BOUND_MS);
        stage.writeKeys([first]);
        expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
        expect((await other.lookup('s0')).status).toBe('UNREACHABLE');
        await stage.stopGateway('SIGKILL');
      } finally {
        process.kill(redisPid, 'SIGCONT');
      }
      await stage.startGateway();
      await hasTakenOver();
      await replace({ capacity: 1_000 });
    });
    await other.close();
  });
});

describe('a start that fails touches nothing', () => {
  test.each([
    ['an interface is missing', { listen: { interfaces: ['sgw1', 'nowhere0'], port: 7_000, allow: ['192.0.2.0/24'] } }],
    [
      'the configuration names another table, too',
      { capacity: 4_000, listen: { interfaces: ['nowhere0'], port: 7_000 } },
    ],
  ])('%s', async (_, change) => {
    const before = mapDirectories();
    await losesNothing(async () => {
      await stage.stopGateway();
      stage.writeConfig(change);
      const { exitCode, stderr, stdout } = await stage.command('run');
      expect(exitCode).toBe(1);
      expect(stderr + stdout).toMatch(/nowhere0/);
      stage.writeConfig({ capacity: 1_000, listen: {} });
      expect(mapDirectories()).toEqual(before);
    });
  });

  test('a key id stood for another secret', async () => {
    await losesNothing(async () => {
      await stage.stopGateway();
      stage.writeKeys([randomKey(1)]);
      const { exitCode, stderr } = await stage.command('run');
      stage.writeKeys([first]);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(/never used again/);
    });
  });

  test('another daemon runs', async () => {
    const pid = (await stage.status())?.['pid'];
    await losesNothing(async () => {
      const { exitCode, stderr } = await stage.command('run');
      expect(exitCode).toBe(1);
      expect(stderr).toContain(String(pid));
    });
    expect((await stage.status())?.['pid']).toBe(pid);
  });
});

test('an interface that is deleted and made again is served again', async () => {
  stage.network.unplug();
  stage.network.plug();
  // Until then the daemon answers by itself.
  await until(async () => {
    const { interfaces, addresses } = (await stage.status()) ?? {};
    return JSON.stringify(interfaces).includes('native') && JSON.stringify(addresses).includes(GATEWAY_IPV4);
  }, BOUND_MS);
  await losesNothing(async () => {
    await stage.stopGateway('SIGKILL');
    await stage.startGateway();
  });
});
