import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/gateway/config.ts';
import { RedisDirectory } from '../../src/gateway/directory.ts';
import { redisAccess } from '../../src/gateway/redis-access.ts';
import { redisTarget } from '../../src/sync/redis/redis-target.ts';
import { systemRuntime } from '../../src/sync/runtime.ts';
import { ClusterSetup } from '../sync/cluster-setup.ts';
import { until } from '../sync/harness.ts';
import { freePorts, RedisNode } from '../sync/redis-node.ts';
import { Authority, type Signed, tlsSettings } from './certificates.ts';

const FIRST_PORT = 23_300;
const OURS = 'DNS:redis.test,IP:127.0.0.1';
const { signal } = new AbortController();

let folder: string;
let authority: Authority;
let stranger: Authority;
let serverPair: Signed;
let clientPair: Signed;
/** That of the tests' own client. */
let testPair: Signed;
let node: RedisNode | undefined;
let directory: RedisDirectory | undefined;
let faults: string[];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'session-gateway-tls-'));
  authority = new Authority(join(folder, 'ours'), 'ours');
  stranger = new Authority(join(folder, 'theirs'), 'theirs');
  serverPair = authority.sign('server', OURS);
  clientPair = authority.sign('client', 'DNS:gateway.test');
  testPair = clientPair;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(async () => {
  await directory?.close();
  await node?.stop();
  [directory, node] = [undefined, undefined];
});

async function startServer(pair = serverPair, clients = true): Promise<RedisNode> {
  const [port = 0] = await freePorts(1, FIRST_PORT);
  const login = () => ({ tls: { rejectUnauthorized: false, ...pemsOf(testPair) } });
  node = await RedisNode.start({ port, settings: tlsSettings(port, pair, authority.caFile, clients), login });
  return node;
}

function pemsOf({ certFile, keyFile }: Signed): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(certFile), key: readFileSync(keyFile) };
}

/** @param tls as in the configuration file */
function open(tls: object | null, url = `rediss://127.0.0.1:${node?.port}`): RedisDirectory {
  faults = [];
  const config = parseConfig(JSON.stringify({ redis: { url, tls } }), join(folder, 'gateway.yaml'));
  directory = new RedisDirectory(
    config,
    redisAccess(config, (reason) => faults.push(reason)),
  );
  return directory;
}

const ours = () => ({ caFile: authority.caFile, ...clientPair });

describe('a server with TLS', () => {
  test('is used where its certificate is good and ours is good for it', async () => {
    await startServer();
    expect(await open(ours()).backends()).toEqual({ backends: [], faults: [] });
  });

  test('is used without a certificate of ours where it asks for none', async () => {
    await startServer(serverPair, false);
    expect(await open({ caFile: authority.caFile }).backends()).toEqual({ backends: [], faults: [] });
  });

  test.each([
    [
      'has its certificate from another authority',
      () => ({ ...ours(), caFile: stranger.caFile }),
      /unable to verify|self-signed/,
    ],
    [
      'has its certificate from no public authority',
      () => ({ ...clientPair }),
      /unable to get local issuer|self-signed|unable to verify/,
    ],
    [
      'has another name',
      () => ({ ...ours(), serverName: 'other.test' }),
      /does not match certificate's altnames.*other\.test/,
    ],
    [
      'asks for a certificate of ours',
      () => ({ caFile: authority.caFile }),
      /certificate required|handshake failure|ECONNRESET/,
    ],
  ])('that %s is not', async (_, tls, reason) => {
    await startServer();
    await expect(open(tls()).backends()).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(reason),
    });
  });

  test('is used under the name that its certificate has, where that is said', async () => {
    await startServer(authority.sign('named', 'DNS:redis.test'));
    await expect(open(ours()).backends()).rejects.toMatchObject({ message: expect.stringMatching(/altnames/) });
    await directory?.close();
    expect((await open({ ...ours(), serverName: 'redis.test' }).backends()).backends).toEqual([]);
  });
});

describe('renewed certificates', () => {
  test('are used at the next connection; bad ones are not, and the last good ones stay', async () => {
    const [caFile, certFile, keyFile] = ['ca', 'cert', 'key'].map((name) => join(folder, `renewed-${name}`)) as [
      string,
      string,
      string,
    ];
    const put = (from: Authority, pair: Signed) => {
      copyFileSync(from.caFile, caFile);
      copyFileSync(pair.certFile, certFile);
      copyFileSync(pair.keyFile, keyFile);
      chmodSync(keyFile, 0o600);
    };
    put(authority, clientPair);
    const server = await startServer();
    const asked = open({ caFile, certFile, keyFile });
    expect((await asked.backends()).backends).toEqual([]);

    // Everything from another authority now.
    const theirs = stranger.sign('server', OURS);
    copyFileSync(theirs.certFile, serverPair.certFile);
    copyFileSync(theirs.keyFile, serverPair.keyFile);
    copyFileSync(stranger.caFile, authority.caFile);
    testPair = stranger.sign('client', 'DNS:gateway.test');
    put(stranger, testPair);
    await server.kill();
    await server.launch();
    await until('asked again', async () =>
      asked.backends().then(
        () => true,
        () => false,
      ),
    );
    expect(faults).toEqual([]);

    writeFileSync(certFile, '-----BEGIN CERTIFICATE-----\nhalf');
    await server.kill();
    await server.launch();
    await until('asked again', async () =>
      asked.backends().then(
        () => true,
        () => false,
      ),
    );
    expect(faults[0]).toMatch(/redis\.tls\.certFile: .*renewed-cert: found no certificate; allowed: /);
  }, 60_000);
});

describe('files that are refused', () => {
  const refused = (tls: object) => {
    const config = parseConfig(JSON.stringify({ redis: { url: 'rediss://h', tls } }), join(folder, 'gateway.yaml'));
    return () => redisAccess(config);
  };
  const file = (name: string, text: string, mode = 0o600) => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), mode);
    return join(folder, name);
  };

  test.each([
    ['not there', () => ({ caFile: 'missing.pem' }), /redis\.tls\.caFile: .*missing\.pem.*ENOENT/],
    [
      'no PEM',
      () => ({ caFile: file('text', 'hello') }),
      /redis\.tls\.caFile: .*text: found no certificate; allowed: .*PEM/,
    ],
    [
      'bad PEM',
      () => ({ caFile: file('bad', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----') }),
      /certificate 1 can't be read/,
    ],
    ['no key', () => ({ ...clientPair, keyFile: file('nokey', 'hello') }), /certFile and keyFile can't be used/],
    ['an absurd size', () => ({ caFile: file('large', 'x'.repeat(2_000_000)) }), /at most 1048576/],
    [
      'a key that others can read',
      () => ({ ...clientPair, keyFile: file('open', readFileSync(clientPair.keyFile, 'utf8'), 0o644) }),
      /redis\.tls\.keyFile: .*mode 0644/,
    ],
    [
      'the key of another certificate',
      () => ({ ...clientPair, keyFile: stranger.sign('x', OURS).keyFile }),
      /certFile and keyFile can't be used: .*mismatch/,
    ],
  ])('%s', (_, tls, message) => {
    expect(refused(tls())).toThrow(
      expect.objectContaining({ code: 'REDIS_TLS_INVALID', exitStatus: 2, message: expect.stringMatching(message) }),
    );
  });
});

describe('TLS and users', () => {
  test('go for sentinels and for the master that they name', async () => {
    const own = new Authority(join(folder, 'sentinel'), 'sentinel');
    const pair = own.sign('server', OURS);
    const client = own.sign('client', 'DNS:gateway.test');
    const login = { tls: { rejectUnauthorized: false, ...pemsOf(client) } };
    const [port = 0, sentinelPort = 0] = await freePorts(2, FIRST_PORT);
    node = await RedisNode.start({
      port,
      settings: [...tlsSettings(port, pair, own.caFile), 'tls-replication yes', 'user gateway on >pw ~* +@all'],
      login,
    });
    const sentinel = await RedisNode.start({
      port: sentinelPort,
      sentinel: true,
      settings: [
        ...tlsSettings(sentinelPort, pair, own.caFile),
        'tls-replication yes',
        `sentinel monitor main 127.0.0.1 ${port} 1`,
        'user watcher on >spw +client|setname +sentinel|get-master-addr-by-name +sentinel|master',
      ],
      login,
    });
    try {
      writeFileSync(join(folder, 'pw'), 'pw\n');
      writeFileSync(join(folder, 'spw'), 'spw\n');
      const redis = {
        sentinel: { name: 'main', nodes: [sentinel.address], username: 'watcher', passwordFile: 'spw' },
        username: 'gateway',
        passwordFile: 'pw',
        tls: { caFile: own.caFile, ...client },
      };
      const config = parseConfig(JSON.stringify({ redis }), join(folder, 'gateway.yaml'));
      const connection = await redisTarget(redisAccess(config), systemRuntime).openMaster('test', signal);
      expect(String(await connection.call('ACL', 'WHOAMI'))).toBe('gateway');
      connection.drop();
      writeFileSync(join(folder, 'spw'), 'wrong');
      await expect(redisTarget(redisAccess(config), systemRuntime).openMaster('test', signal)).rejects.toMatchObject({
        code: 'NO_MASTER',
        message: expect.stringMatching(/WRONGPASS/),
      });
    } finally {
      await sentinel.stop();
    }
  }, 60_000);

  test('go for every node of a cluster', async () => {
    const own = new Authority(join(folder, 'cluster'), 'cluster');
    const pair = own.sign('server', OURS);
    const client = own.sign('client', 'DNS:gateway.test');
    const login = { tls: { rejectUnauthorized: false, ...pemsOf(client) } };
    const files = (port: number) => [
      ...tlsSettings(port, pair, own.caFile),
      'tls-cluster yes',
      'user gateway on >pw ~* +@all',
    ];
    const setup = await ClusterSetup.start(FIRST_PORT, { settings: files, login });
    try {
      writeFileSync(join(folder, 'pw'), 'pw\n');
      const nodes = setup.masters.map(({ address }) => address);
      const redis = {
        cluster: { nodes },
        username: 'gateway',
        passwordFile: 'pw',
        tls: { caFile: own.caFile, ...client },
      };
      const feed = { from: 'notifications', stream: '{gateway}:feed' };
      const text = JSON.stringify({ redis: { ...redis, names: '{gateway}:' }, feed });
      const config = parseConfig(text, join(folder, 'gateway.yaml'));
      const masters = await redisTarget(redisAccess(config), systemRuntime).masters(signal);
      expect(masters.map(({ id }) => id)).toEqual(nodes);
      for (const master of masters) (await master.open('test', signal)).drop();
      directory = new RedisDirectory(config, redisAccess(config));
      expect(await directory.patchBackend('web-1', { id: 1, address: '10.0.0.1:80' })).toMatchObject({ id: 1 });
    } finally {
      await setup.stop();
    }
  }, 60_000);
});
