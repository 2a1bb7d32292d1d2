/**
 * Applies session records, as record.lua reads them, to the session table (docs/redis.md, "Sessions").
 * May be imported by src/sync only.
 */
import { hash as digest } from 'node:crypto';
import { SyncError } from '../errors.ts';
import { EXPIRES_MAX_MS, SID_MAX_BYTES } from '../limits.ts';
import type { ProblemKind, Problems } from '../problems.ts';
import type { SessionTable, Version } from '../table.ts';
import type { KnownBackends } from '../tables/known-backends.ts';
import { formatStreamId, VersionCell } from '../versions.ts';
import type { Page } from './pages.ts';
import { GONE, NEVER, OTHER_TYPE, TOO_LONG } from './record-ends.ts';
import { type BackendSource, backendIn } from './session-forms.ts';

export interface RecordsParts {
  readonly table: SessionTable;
  readonly backends: KnownBackends;
  readonly problems: Problems;
  readonly prefix: string;
  readonly backend: BackendSource;
}

export class Records {
  readonly #table: SessionTable;
  readonly #backends: KnownBackends;
  readonly #problems: Problems;
  readonly #prefixLength: number;
  readonly #source: BackendSource;
  readonly #version = new VersionCell();

  constructor(parts: RecordsParts) {
    this.#table = parts.table;
    this.#backends = parts.backends;
    this.#problems = parts.problems;
    this.#prefixLength = Buffer.byteLength(parts.prefix);
    this.#source = parts.backend;
  }

  /**
   * Queues a page's sessions, each with the page's moment as version, but for those that the feed took away after it;
   * the caller flushes the table.
   * @returns how many sessions were queued
   * @throws SyncError PAGE_OVERTAKEN where more sessions went away than were remembered
   */
  apply(page: Page): number {
    if (page.changes.overtaken) {
      throw new SyncError('PAGE_OVERTAKEN', 'a snapshot page took too long for the number of sessions that went away');
    }
    const { batch } = page;
    this.#version.set(Buffer.from(formatStreamId(batch.id), 'latin1'));
    let sessions = 0;
    for (let i = 0; i < batch.length; i++) {
      const hash = this.#hashOf(batch.sid(i, this.#prefixLength));
      if (hash === null || page.changes.isNewer(hash, batch.id)) continue;
      if (this.#put(hash, batch.value(i), batch.ends(i), this.#version)) sessions += 1;
    }
    return sessions;
  }

  /**
   * Queues one key as it was just read: its session, or the removal of what is held for it; the caller flushes the table.
   * @param value and `ends`: as record.lua returns them
   * @returns whether it is a session
   */
  applyKey(key: Buffer, value: Buffer | null, ends: number, version: Version): boolean {
    const hash = this.#hashOf(key.subarray(this.#prefixLength));
    if (hash === null) return false;
    if (this.#put(hash, value, ends, version)) return true;
    this.#table.remove(hash, version);
    return false;
  }

  /** @returns null, and the problem is counted, where there is no session id or it is too long */
  #hashOf(sid: Buffer): string | null {
    if (sid.length > 0 && sid.length <= SID_MAX_BYTES) return digest('sha256', sid, 'hex');
    this.#problems.count('record-sid');
    return null;
  }

  #put(hash: string, value: Buffer | null, ends: number, version: Version): boolean {
    if (ends === GONE) return false;
    if (ends === OTHER_TYPE) return this.#refuse('record-type');
    if (ends === TOO_LONG) return this.#refuse(this.#source.in === 'json' ? 'record-json' : 'record-backend');
    const backend = backendIn(this.#source, value);
    if (typeof backend === 'string') return this.#refuse(backend);
    let expiresMs = ends === NEVER ? 0 : ends;
    if (expiresMs > EXPIRES_MAX_MS) {
      expiresMs = EXPIRES_MAX_MS;
      this.#problems.count('record-expiry');
    }
    const backendId = this.#backends.idOf(backend);
    if (backendId === 0) this.#problems.count('unknown-backend');
    this.#table.put(hash, version, expiresMs, backendId);
    return true;
  }

  #refuse(kind: ProblemKind): false {
    this.#problems.count(kind);
    return false;
  }
}
