/** A gateway behind the control API's port that holds everything in memory. */
import { Verdict } from '../../../src/abi.ts';
import { failure } from '../../../src/gateway/errors.ts';
import type { BackendRecord, Gateway, SessionView, Status, VerdictName } from '../../../src/gateway/ports.ts';
import type { BackendPatch } from '../../../src/sync/functions.ts';

export const FAKE_KEY = {
  id: 7,
  name: 'edge',
  suite: 'hmac-sha256',
  encrypt: false,
  notBeforeMs: null,
  notAfterMs: 1_900_000_000_000,
  valid: true,
} as const;

export function zeroCounts(): Record<VerdictName, number> {
  const names = Object.keys(Verdict).filter((name) => name !== 'COUNT');
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<VerdictName, number>;
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
        faults: [{ name: 'web-3', kind: 'backend-entry', message: 'id: found nothing, allowed: an integer' }],
        unknown: [{ name: 'web-9', records: 3 }],
      },
      connections: 1,
      entries: { set: 10, del: 2, other: 0 },
      changes: { inserted: 9, refused: 0 },
      problems: { 'feed-op': 1 },
      resyncs: { start: 1 },
      resyncsFailed: 0,
    },
    keys: [FAKE_KEY],
    packets: { ...zeroCounts(), REPLY_FOUND: 42, DROP_TAG: 2 },
  };
}

export class FakeGateway implements Gateway {
  now: Status = fakeStatus();
  readonly table = new Map<string, BackendRecord>();
  readonly sessions = new Map<string, { backend: string; ttlMs: number }>();
  /** Thrown by the next call of anything but `status`. */
  next: unknown;

  #maybeFail(): void {
    const { next } = this;
    this.next = undefined;
    if (next !== undefined) throw next;
  }

  status(): Status {
    return this.now;
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
    this.#maybeFail();
    return { backends: [...this.table.values()], faults: [{ name: 'web-3', message: 'id: found nothing' }] };
  }

  async patchBackend(name: string, fields: BackendPatch) {
    this.#maybeFail();
    const before = this.table.get(name);
    const after = { name, state: 'active', weight: 100, shed: 0, ...before, ...fields } as BackendRecord;
    if (after.id === undefined)
      throw failure('BACKEND_REFUSED', { name, reason: 'id: found nothing; allowed: 1 to 65535' });
    this.table.set(name, after);
    return after;
  }

  async removeBackend(name: string) {
    this.#maybeFail();
    if (!this.table.delete(name)) throw failure('BACKEND_UNKNOWN', { name });
  }

  async session(sid: string): Promise<SessionView> {
    this.#maybeFail();
    const held = this.sessions.get(sid);
    if (held === undefined) return { redis: null, kernel: null };
    return {
      redis: { backend: held.backend, ttlMs: held.ttlMs },
      kernel: { backendId: 1, expiresMs: null, version: '1-0', live: true },
    };
  }

  async setSession(sid: string, backend: string, ttlMs: number) {
    this.#maybeFail();
    this.sessions.set(sid, { backend, ttlMs });
  }

  async removeSession(sid: string) {
    this.#maybeFail();
    if (!this.sessions.delete(sid)) throw failure('SESSION_UNKNOWN', {});
  }
}
