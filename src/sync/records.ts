/**
 * Applies the session records of a snapshot page to the session table (docs/redis.md, "Sessions").
 * May be imported by src/sync only.
 */
import { hash as digest } from 'node:crypto';
import { SyncError } from './errors.ts';
import type { KnownBackends } from './known-backends.ts';
import { EXPIRES_MAX_MS, NAME_MAX_BYTES, SID_MAX_BYTES } from './limits.ts';
import type { Page } from './pages.ts';
import type { Problems } from './problems.ts';
import type { SessionTable } from './table.ts';
import { formatStreamId, VersionCell } from './versions.ts';

/** What page.lua puts in the place of an end. */
const NEVER = -1;
const GONE = -2;
const NOT_A_HASH = -3;

export interface RecordsParts {
  readonly table: SessionTable;
  readonly backends: KnownBackends;
  readonly problems: Problems;
  readonly prefix: string;
}

export class Records {
  readonly #table: SessionTable;
  readonly #backends: KnownBackends;
  readonly #problems: Problems;
  readonly #prefixLength: number;
  readonly #version = new VersionCell();

  constructor(parts: RecordsParts) {
    this.#table = parts.table;
    this.#backends = parts.backends;
    this.#problems = parts.problems;
    this.#prefixLength = Buffer.byteLength(parts.prefix);
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
    this.#version.set(Buffer.from(formatStreamId(page.id), 'latin1'));
    let sessions = 0;
    const { records } = page;
    for (let i = 2; i + 2 < records.length; i += 3) {
      const key = records[i] as Buffer;
      if (this.#applyOne(page, key, records[i + 1] as Buffer | null, records[i + 2] as number)) sessions += 1;
    }
    return sessions;
  }

  #applyOne(page: Page, key: Buffer, backend: Buffer | null, ends: number): boolean {
    if (ends === GONE) return false;
    if (ends === NOT_A_HASH) return this.#refuse('record-type');
    const sid = key.subarray(this.#prefixLength);
    if (sid.length === 0 || sid.length > SID_MAX_BYTES) return this.#refuse('record-sid');
    if (backend === null) return this.#refuse('record-no-backend');
    if (backend.length === 0 || backend.length > NAME_MAX_BYTES) return this.#refuse('record-backend');
    let expiresMs = ends === NEVER ? 0 : ends;
    if (expiresMs > EXPIRES_MAX_MS) {
      expiresMs = EXPIRES_MAX_MS;
      this.#problems.count('record-expiry');
    }
    const hash = digest('sha256', sid, 'hex');
    if (page.changes.isNewer(hash, page.id)) return false;
    const backendId = this.#backends.idOf(backend);
    if (backendId === 0) this.#problems.count('unknown-backend');
    this.#table.put(hash, this.#version, expiresMs, backendId);
    return true;
  }

  #refuse(kind: 'record-type' | 'record-sid' | 'record-no-backend' | 'record-backend'): false {
    this.#problems.count(kind);
    return false;
  }
}
