import { beforeEach, describe, expect, test } from 'vitest';
import type { Session } from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { parseConfig } from '../../src/gateway/config.ts';
import { RunningGateway } from '../../src/gateway/running-gateway.ts';
import { VERSION } from '../../src/gateway/version.ts';
import type { SyncStatus } from '../../src/sync/status.ts';
import { FAKE_KEY, FakeGateway, fakeStatus, zeroCounts } from './control/fake-gateway.ts';

const NOW_MS = 1_800_000_000_000;
const { sync: view } = fakeStatus();

const syncStatus = {
  state: 'following',
  ready: true,
  position: { id: '1700000000000-5', entriesAdded: 17 },
  lagEntries: 2,
  notifications: null,
  inStepMs: 1,
  lastError: view.lastError,
  resync: view.resync,
  lastResync: view.lastResync,
  backends: view.backends,
  counts: {
    feed: view.entries,
    connections: 1,
    pages: 3,
    resyncs: view.resyncs,
    resyncsFailed: 0,
    table: view.changes,
    problems: view.problems,
  },
} as unknown as SyncStatus;

const session: Session = {
  version: (1_700_000_000_000n << 20n) | 5n,
  expiresMs: BigInt(NOW_MS + 1),
  generation: 3,
  backendId: 7,
  check: 0n,
};

let settings: { generation: number; inStepMs: number };
let held: Session | undefined;
let hashes: Uint8Array[];
let gateway: RunningGateway;

beforeEach(() => {
  settings = { generation: 3, inStepMs: 4_000 };
  held = session;
  hashes = [];
  gateway = new RunningGateway({
    config: parseConfig('redis: { url: "redis://:hunter2@127.0.0.1:6379/0" }', '/etc/gateway.yaml'),
    kernel: {
      capacity: 1000,
      settings,
      table: {
        entries: 12,
        refused: 3,
        find: (hash) => {
          hashes.push(hash);
          return held;
        },
      },
      sweeper: { counts: { collected: 4 } },
      interfaces: (names) => names.map((name) => ({ name, mode: 'native' })),
      verdictCounts: () => ({ ...zeroCounts(), REPLY_FOUND: 42, DROP_TAG: 2 }),
    },
    sync: { status: () => syncStatus },
    keys: { list: () => [FAKE_KEY] },
    reloadKeys: () => ({ added: [], removed: [], changed: [], kept: 1 }),
    addresses: () => ['192.0.2.1', '2001:db8::1'],
    directory: Object.assign(new FakeGateway(), { session: async () => ({ backend: 'web-1', ttlMs: 5 }) }),
    clocks: { wallMs: () => NOW_MS, monotonicMs: () => 5_500.4 },
  });
});

describe('the status', () => {
  test('all of it, without the password', () => {
    expect(gateway.status()).toEqual({
      ...fakeStatus(),
      version: VERSION,
      pid: process.pid,
      startedAt: new Date(NOW_MS).toISOString(),
      configFile: '/etc/gateway.yaml',
      ageMs: 1_500,
      redis: 'redis://:***@127.0.0.1:6379/0',
    });
  });

  test('the age is never below zero, and null before the first time', () => {
    settings.inStepMs = 6_000;
    expect(gateway.status().ageMs).toBe(0);
    settings.inStepMs = 0;
    expect(gateway.status().ageMs).toBeNull();
  });
});

describe('a session', () => {
  test('as Redis and the kernel have it, found by its hash', async () => {
    expect(await gateway.session('s1')).toEqual({
      redis: { backend: 'web-1', ttlMs: 5 },
      kernel: { backendId: 7, expiresMs: NOW_MS + 1, version: '1700000000000-5', live: true },
    });
    expect(hashes).toEqual([cookieHash('s1')]);
  });

  test.each([
    ['not held', undefined, null],
    ['expired', { ...session, expiresMs: BigInt(NOW_MS) }, { live: false }],
    ['without an end', { ...session, expiresMs: 0n }, { live: true, expiresMs: null }],
    ['of an older generation', { ...session, generation: 2 }, { live: false }],
    ['of the generation that is being filled', { ...session, generation: 4 }, { live: true }],
  ])('%s', async (_, value, expected) => {
    held = value;
    const { kernel } = await gateway.session('s1');
    if (expected === null) expect(kernel).toBeNull();
    else expect(kernel).toMatchObject(expected);
  });
});
