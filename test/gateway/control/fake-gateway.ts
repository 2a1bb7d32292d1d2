/** A gateway behind the control API's port that holds everything in memory. */
import { LatencyKind, LatencyScale, Verdict } from '../../../src/abi.ts';
import { failure } from '../../../src/gateway/errors.ts';
import { LATENCY_BOUNDS_NS, type Latencies } from '../../../src/gateway/kernel/latencies.ts';
import { latencyStatus } from '../../../src/gateway/latency-status.ts';
import type {
  BackendCounts,
  BackendRecord,
  Directory,
  FleetView,
  Gateway,
  GatewayEvent,
  RedisSession,
  RemoveOptions,
  SessionView,
  SettleState,
  Stats,
  Status,
  TraceFilter,
  TraceReader,
  VerdictName,
} from '../../../src/gateway/ports.ts';
import type { BackendPatch } from '../../../src/sync/redis/functions.ts';

export const FAKE_KEY = {
  id: 7,
  name: 'edge',
  suite: 'hmac-sha256',
  encrypt: false,
  notBeforeMs: null,
  notAfterMs: 1_900_000_000_000,
  valid: true,
  uses: 21,
} as const;

/** How much every backend is used. */
export const FAKE_USE = { share: 0.25, sessions: 1_234, lookupsPerSecond: null } as const;

export const FAKE_SETTLE: SettleState = {
  backend: 'web-1',
  state: 'running',
  rate: 2_000,
  pass: 1,
  part: 0.5,
  moved: 17,
  complete: null,
  problem: null,
};

export const FAKE_FLEET: FleetView = {
  self: 'aaaaaaaaaaaa',
  members: [
    {
      id: 'aaaaaaaaaaaa',
      name: 'gw-1',
      version: '0.1.0',
      startedAt: '2026-01-31T08:00:00.000Z',
      ready: true,
      state: 'following',
      sessions: 12,
      capacity: 1_000,
      ageMs: 1_500,
      lagEntries: 2,
      answersPerSecond: 12.5,
      hitRatio: 0.75,
      silentMs: 0,
      clockAheadMs: 0,
    },
  ],
  problem: null,
};

export function zeroCounts(): Record<VerdictName, number> {
  const names = Object.keys(Verdict).filter((name) => name !== 'COUNT');
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<VerdictName, number>;
}

export function fakeBackendCounts(): BackendCounts[] {
  return [
    { name: 'web-1', id: 1, state: 'active', weight: 100, shed: 250, sessions: 8, answers: 30 },
    { name: 'web "2"', id: 2, state: 'draining', weight: 0, shed: 0, sessions: null, answers: 0 },
  ];
}

/** One FOUND of 600 ns, another of 2 ms. */
export function fakeLatencies(): Latencies {
  const names = Object.keys(LatencyKind).filter((name) => name !== 'KINDS');
  const none = { sumNs: 0, packets: new Array<number>(LatencyScale.BUCKETS).fill(0) };
  const found = none.packets.slice();
  found[latencyBucketOf(600)] = 1;
  found[LatencyScale.BUCKETS - 1] = 1;
  const all = Object.fromEntries(names.map((name) => [name, none]));
  return { ...all, FOUND: { sumNs: 2_000_600, packets: found } } as unknown as Latencies;
}

/** As the program has it (bpf/latency.h). */
function latencyBucketOf(ns: number): number {
  return LATENCY_BOUNDS_NS.findIndex((boundNs) => ns <= boundNs);
}

export function fakeStatus(): Status {
  return {
    version: '0.1.0',
    pid: 4711,
    startedAt: '2026-01-31T08:00:00.000Z',
    configFile: '/etc/session-gateway/gateway.yaml',
    ready: true,
    sessions: 12,
    capacity: 1000,
    refused: 3,
    collected: 4,
    ageMs: 1500,
    staleAfterMs: 10_000,
    port: 6464,
    interfaces: [{ name: 'eth0', mode: 'native' }],
    addresses: ['192.0.2.1', '2001:db8::1'],
    redis: 'redis://127.0.0.1:6379/0',
    sync: {
      state: 'following',
      position: '1700000000000-5',
      lagEntries: 2,
      notifications: null,
      lastError: { message: 'connect ECONNREFUSED', timeMs: 1_700_000_000_000 },
      resync: { reason: 'reconcile', startedMs: 1_700_000_000_000, pages: 1, sessions: 2 },
      lastResync: { reason: 'start', startedMs: 1_600_000_000_000, pages: 1, sessions: 2, endedMs: 1_600_000_000_001 },
      backends: {
        known: 2,
        faults: [
          {
            name: 'web-3',
            kind: 'backend-entry',
            message: 'id: found nothing, allowed: an integer',
            keepsLastGood: true,
          },
        ],
        unknown: [{ name: 'web-9', records: 3 }],
      },
      denied: { entries: 3, malformed: 1, timeMs: 1_600_000_000_001 },
      facts: null,
      connections: 1,
      entries: { set: 10, del: 2, other: 0 },
      changes: { inserted: 9, refused: 0 },
      problems: { 'feed-op': 1 },
      resyncs: { start: 1 },
      resyncsFailed: 0,
    },
    keys: [FAKE_KEY],
    responder: zeroCounts(),
    lost: { overflowed: 5, unread: 6, unsent: 7 },
    packets: { ...zeroCounts(), REPLY_FOUND: 42, DROP_TAG: 2 },
    latency: latencyStatus(64, fakeLatencies()),
  };
}

/** The tables in Redis. */
export class FakeDirectory implements Directory {
  readonly table = new Map<string, BackendRecord>();
  readonly sessions = new Map<string, { backend: string; ttlMs: number }>();
  /** Until when, Unix ms. */
  readonly denied = new Map<string, number>();
  readonly facts = new Map<string, string>();
  /** Thrown by the next call. */
  next: unknown;

  reset(): void {
    for (const map of [this.table, this.sessions, this.denied, this.facts]) map.clear();
    this.next = undefined;
  }

  protected maybeFail(): void {
    const { next } = this;
    this.next = undefined;
    if (next !== undefined) throw next;
  }

  async backends() {
    this.maybeFail();
    return { backends: [...this.table.values()], faults: [{ name: 'web-3', message: 'id: found nothing' }] };
  }

  async patchBackend(name: string, fields: BackendPatch) {
    this.maybeFail();
    const before = this.table.get(name);
    const after = { name, state: 'active', weight: 100, shed: 0, ...before, ...fields } as BackendRecord;
    if (after.id === undefined)
      throw failure('BACKEND_REFUSED', { name, reason: 'id: found nothing; allowed: 1 to 65535' });
    this.table.set(name, after);
    return after;
  }

  async removeBackend(name: string, { force = false }: RemoveOptions = {}) {
    this.maybeFail();
    this.#requireBackend(name);
    const isUsed = [...this.sessions.values()].some(({ backend }) => backend === name);
    if (isUsed && !force) throw failure('BACKEND_IN_USE', { name, found: 'found sessions' });
    this.table.delete(name);
  }

  async session(_sid: string): Promise<RedisSession | null> {
    return { backend: 'web-1', ttlMs: 5 };
  }

  async setSession(sid: string, backend: string, ttlMs: number) {
    this.maybeFail();
    this.sessions.set(sid, { backend, ttlMs });
  }

  async moveSession(sid: string, backend: string) {
    this.maybeFail();
    this.#requireBackend(backend);
    const held = this.sessions.get(sid);
    if (held === undefined) throw failure('SESSION_UNKNOWN', {});
    this.sessions.set(sid, { ...held, backend });
    return { from: held.backend };
  }

  async removeSession(sid: string) {
    this.maybeFail();
    if (!this.sessions.delete(sid)) throw failure('SESSION_UNKNOWN', {});
  }

  async denySession(sid: string, untilMs: number) {
    this.maybeFail();
    this.denied.set(sid, untilMs);
  }

  async fact(name: string) {
    this.maybeFail();
    const value = this.facts.get(name);
    if (value === undefined) throw failure('FACT_UNKNOWN', { name });
    return { name, value, hex: Buffer.from(value).toString('hex'), version: '5-0' };
  }

  async setFact(name: string, value: string) {
    this.facts.set(name, value);
    return await this.fact(name);
  }

  async removeFact(name: string) {
    this.maybeFail();
    if (!this.facts.delete(name)) throw failure('FACT_UNKNOWN', { name });
  }

  #requireBackend(name: string): void {
    if (!this.table.has(name)) throw failure('BACKEND_UNKNOWN', { name, names: [...this.table.keys()] });
  }
}

export class FakeGateway implements Gateway {
  now: Status = fakeStatus();
  readonly directory = new FakeDirectory();
  readonly table = this.directory.table;
  readonly sessions = this.directory.sessions;
  /** What `settle` gives. */
  settling: SettleState | null = FAKE_SETTLE;
  readonly readers = new Set<(event: GatewayEvent) => void>();
  /** Thrown by the next call of anything but `status` and `subscribe`. */
  set next(error: unknown) {
    this.directory.next = error;
  }

  #maybeFail(): void {
    const { next } = this.directory;
    this.directory.next = undefined;
    if (next !== undefined) throw next;
  }

  status(): Status {
    return this.now;
  }

  stats(): Stats {
    return { atMs: 1_000.5, status: this.now, fleet: FAKE_FLEET, settle: this.settling };
  }

  fleet() {
    return FAKE_FLEET;
  }

  settle() {
    return this.settling;
  }

  async startSettle(backend: string, rate: number) {
    this.#maybeFail();
    this.settling = { ...FAKE_SETTLE, backend, rate };
    return this.settling;
  }

  async stopSettle() {
    this.#maybeFail();
    this.settling = { ...FAKE_SETTLE, state: 'stopped' };
  }

  keys() {
    this.#maybeFail();
    return this.now.keys;
  }

  reloadKeys() {
    this.#maybeFail();
    return {
      added: [{ id: 8, name: 'new' }],
      removed: [],
      changed: [{ id: 7, name: 'edge', fields: ['notAfter'] }],
      kept: 0,
    };
  }

  async backends() {
    const { backends, faults } = await this.directory.backends();
    return { backends: backends.map((backend) => ({ ...backend, ...FAKE_USE })), faults };
  }

  backendCounts(limit: number): BackendCounts[] {
    return fakeBackendCounts().slice(0, limit);
  }

  patchBackend(...args: Parameters<Directory['patchBackend']>) {
    return this.directory.patchBackend(...args);
  }

  removeBackend(...args: Parameters<Directory['removeBackend']>) {
    return this.directory.removeBackend(...args);
  }

  async session(sid: string): Promise<SessionView> {
    this.#maybeFail();
    const held = this.directory.sessions.get(sid);
    if (held === undefined) return { redis: null, kernel: null };
    return {
      redis: { backend: held.backend, ttlMs: held.ttlMs },
      kernel: { backendId: 1, expiresMs: null, version: '1-0', live: true },
    };
  }

  setSession(...args: Parameters<Directory['setSession']>) {
    return this.directory.setSession(...args);
  }

  moveSession(...args: Parameters<Directory['moveSession']>) {
    return this.directory.moveSession(...args);
  }

  removeSession(sid: string) {
    return this.directory.removeSession(sid);
  }

  async denySession(sid: string, forMs: number | null) {
    const untilMs = forMs === null ? 253_402_300_799_999 : 1_000_000 + forMs;
    await this.directory.denySession(sid, untilMs);
    return { untilMs };
  }

  allowSession(sid: string) {
    return this.directory.denySession(sid, 0);
  }

  fact(name: string) {
    return this.directory.fact(name);
  }

  setFact(name: string, value: string) {
    return this.directory.setFact(name, value);
  }

  removeFact(name: string) {
    return this.directory.removeFact(name);
  }

  subscribe(reader: (event: GatewayEvent) => void) {
    this.readers.add(reader);
    return () => void this.readers.delete(reader);
  }

  /** Who watches packets; one at a time. */
  watcher: { filter: TraceFilter; reader: TraceReader } | undefined;

  trace(filter: TraceFilter, reader: TraceReader) {
    if (this.watcher !== undefined) throw failure('TRACE_BUSY', {});
    this.watcher = { filter, reader };
    return () => {
      this.watcher = undefined;
    };
  }

  publish(event: GatewayEvent): void {
    for (const reader of this.readers) reader(event);
  }
}
