import { beforeEach, describe, expect, test } from 'vitest';
import type { Session } from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { parseConfig } from '../../src/gateway/config.ts';
import { Events } from '../../src/gateway/events.ts';
import type { BackendViews, GatewayEvent } from '../../src/gateway/ports.ts';
import { RunningGateway } from '../../src/gateway/running-gateway.ts';
import { VERSION } from '../../src/gateway/version.ts';
import type { Runtime } from '../../src/sync/runtime.ts';
import type { SyncStatus } from '../../src/sync/status.ts';
import {
  FAKE_FLEET,
  FAKE_KEY,
  FAKE_SETTLE,
  FakeDirectory,
  fakeLatencies,
  fakeStatus,
  zeroCounts,
} from './control/fake-gateway.ts';

const WAIT = { timeout: 60_000 };
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
  denied: view.denied,
  facts: view.facts,
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
  flags: 0,
  check: 0n,
};

let settings: { generation: number; inStepMs: number; timedOneIn: number };
let held: Session | undefined;
let hashes: Uint8Array[];
let counted: Uint32Array | undefined;
let answers: Record<number, number> | null;
let monotonicMs: number;
let state: SyncStatus['state'];
let timers: { ms: number; callback: () => void }[];
const directory = new FakeDirectory();
let gateway: RunningGateway;
let events: Events;

beforeEach(() => {
  settings = { generation: 3, inStepMs: 4_000, timedOneIn: 64 };
  held = session;
  hashes = [];
  counted = undefined;
  answers = null;
  state = 'following';
  monotonicMs = 5_500.4;
  timers = [];
  directory.reset();
  const runtime: Runtime = {
    wallMs: () => NOW_MS,
    monotonicMs: () => monotonicMs,
    random: () => 0,
    timer(ms, callback) {
      const timer = { ms, callback };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
  };
  const sync = { status: () => ({ ...syncStatus, state }) };
  events = new Events(sync.status, runtime);
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
      sweeper: {
        counts: { collected: 4 },
        get backendSessions() {
          return counted;
        },
      },
      backendAnswers: (ids) => answers && ids.map((id) => answers?.[id] ?? 0),
      interfaces: (names) => names.map((name) => ({ name, mode: 'native' })),
      verdictCounts: () => ({ ...zeroCounts(), REPLY_FOUND: 42, DROP_TAG: 2 }),
      latencies: fakeLatencies,
      keyUses: (id) => 3 * id,
      trace: { setFilter() {}, showUntil() {}, lost: 0, read() {}, end() {} },
    },
    responder: { verdictCounts: zeroCounts },
    lost: () => ({ overflowed: 5, unread: 6, unsent: 7 }),
    sync,
    events,
    keys: { list: () => [FAKE_KEY] },
    backends: () => [],
    reloadKeys: () => ({ added: [], removed: [], changed: [], kept: 1 }),
    addresses: () => ['192.0.2.1', '2001:db8::1'],
    directory,
    fleet: { view: () => FAKE_FLEET },
    settling: { state: FAKE_SETTLE, start: async () => FAKE_SETTLE, stop: async () => undefined },
    runtime,
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

describe('backends', () => {
  const WEB_1 = { id: 1, address: '10.0.0.1:80', weight: 300 };
  const WEB_2 = { id: 2, address: '10.0.0.2:80', weight: 100 };

  beforeEach(async () => {
    await directory.patchBackend('web-1', WEB_1);
    await directory.patchBackend('web-2', WEB_2);
  });

  test('have their share of the ring, and nothing made up where nothing is known', async () => {
    const { backends } = await gateway.backends();
    expect(backends).toMatchObject([
      { name: 'web-1', ...WEB_1, sessions: null, lookupsPerSecond: null },
      { name: 'web-2', ...WEB_2, sessions: null, lookupsPerSecond: null },
    ]);
    expect(backends[0]?.share).toBeCloseTo(0.75, 3);
    await directory.patchBackend('web-1', { state: 'draining' });
    expect((await gateway.backends()).backends.map(({ share }) => share)).toEqual([0, 1]);
  });

  test('have the sessions that were counted last', async () => {
    counted = new Uint32Array(65_536);
    counted[1] = 12;
    expect((await gateway.backends()).backends.map(({ sessions }) => sessions)).toEqual([12, 0]);
  });

  test('have the lookups a second, over half a second where they were never asked for', async () => {
    answers = { 1: 1_000, 2: 5 };
    const asked = Promise.all([gateway.backends(), gateway.backends()]);
    await expect.poll(() => timers.map(({ ms }) => ms), WAIT).toEqual([500]);
    monotonicMs += 500;
    answers = { 1: 1_250, 2: 5 };
    timers.pop()?.callback();
    const rates = (list: BackendViews) => list.backends.map(({ lookupsPerSecond }) => lookupsPerSecond);
    expect((await asked).map(rates)).toEqual([
      [500, 0],
      [500, 0],
    ]);
    // Sooner than in a second: the same.
    monotonicMs += 900;
    answers = { 1: 9_999, 2: 9_999 };
    expect(rates(await gateway.backends())).toEqual([500, 0]);
    // Then over the time since the last reading; counters that were made anew say nothing.
    monotonicMs += 1_100;
    answers = { 1: 1_450, 2: 1 };
    expect(rates(await gateway.backends())).toEqual([100, null]);
    expect(timers).toEqual([]);
  });
});

test('a revocation ends after so long, or never', async () => {
  expect(await gateway.denySession('s1', 60_000)).toEqual({ untilMs: NOW_MS + 60_000 });
  expect(await gateway.denySession('s2', null)).toEqual({ untilMs: 253_402_300_799_999 });
  expect(await gateway.denySession('s3', 10 ** 15)).toEqual({ untilMs: 253_402_300_799_999 });
  expect(Object.fromEntries(directory.denied)).toMatchObject({ s1: NOW_MS + 60_000, s2: 253_402_300_799_999 });
  await gateway.allowSession('s1');
  expect(directory.denied.get('s1')).toBe(0);
});

describe('events', () => {
  test('a reader is told the state at once, and when it changes', () => {
    const told: GatewayEvent[] = [];
    const end = gateway.subscribe((event) => told.push(event));
    expect(told).toEqual([{ type: 'state', state: 'following', ready: true }]);
    const look = () => timers.pop()?.callback();
    look();
    expect(told).toHaveLength(1);
    events.countDenial();
    events.countDenial();
    events.publish({ type: 'fact', nameHash: 'ab', hex: '31' });
    state = 'connecting';
    look();
    expect(told.slice(1)).toEqual([
      { type: 'fact', nameHash: 'ab', hex: '31' },
      { type: 'state', state: 'connecting', ready: true },
      { type: 'denied', changes: 2 },
    ]);
    end();
    expect(timers).toEqual([]);
    events.publish({ type: 'fact', nameHash: 'ab', hex: null });
    expect(told).toHaveLength(4);
  });
});
