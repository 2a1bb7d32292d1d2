/**
 * The revoked sessions: sorted set `gateway:denied`, cookie hash → Unix ms until which it is denied (docs/redis.md, "Revoked
 * sessions"), brought into the session table page by page. May be imported by src/sync only.
 */
import { isCookieHash } from '../bytes.ts';
import { SyncError } from '../errors.ts';
import { COOKIE_HASH_DIGITS, DENIED_MEMBERS_MAX, EXPIRES_MAX_MS } from '../limits.ts';
import type { Problems } from '../problems.ts';
import { DENIED_SCRIPT } from '../redis/scripts.ts';
import type { Runtime } from '../runtime.ts';
import { CURSOR_START } from '../snapshot/pages.ts';
import type { TableReading } from '../status.ts';
import type { SessionTable } from '../table.ts';
import type { KeyRead, RedisTable } from './redis-table.ts';

export interface DeniedTableParts {
  readonly table: SessionTable;
  readonly problems: Problems;
  readonly runtime: Runtime;
  /** COUNT of each ZSCAN. */
  readonly pageSize: number;
  /** Carries out what is queued in the table. */
  readonly flush: () => void;
  /** It is read from its beginning. */
  readonly begun: () => void;
  /** It can be read, or not and why. */
  readonly readable: (why: SyncError | null) => void;
}

export class DeniedTable implements RedisTable {
  readonly keys: readonly string[];
  readonly #parts: DeniedTableParts;
  /** Of the reading that is under way. */
  #cursor = CURSOR_START;
  #entries = 0;
  #malformed = 0;
  #last: TableReading | null = null;

  /** @param names prefix of the tables, as `gateway:` */
  constructor(names: string, parts: DeniedTableParts) {
    this.keys = [`${names}denied`];
    this.#parts = parts;
  }

  /** What the last reading found that came to its end; null before it. */
  get last(): TableReading | null {
    return this.#last;
  }

  reads(first: boolean): readonly KeyRead[] {
    if (first) this.#cursor = CURSOR_START;
    const { pageSize, runtime } = this.#parts;
    const bounds = [DENIED_MEMBERS_MAX, COOKIE_HASH_DIGITS, runtime.wallMs(), EXPIRES_MAX_MS];
    return [{ script: DENIED_SCRIPT, key: this.keys[0] as string, args: [this.#cursor, pageSize, ...bounds] }];
  }

  apply(replies: readonly unknown[], first: boolean): boolean {
    const { table, problems, runtime, flush, begun, readable } = this.#parts;
    const page = replies[0];
    if (!Array.isArray(page) || page.length === 0) {
      throw new SyncError('REDIS_REPLY', 'a page of revoked sessions: found no list');
    }
    if (first) {
      this.#entries = 0;
      this.#malformed = 0;
      table.beginDenied();
      begun();
    }
    for (let i = 1; i + 1 < page.length; i += 2) {
      const member = page[i] as Buffer;
      const untilMs: unknown = page[i + 1];
      if (typeof untilMs !== 'number' || !(untilMs > 0)) {
        throw new SyncError('REDIS_REPLY', 'a page of revoked sessions: found no time');
      }
      if (isCookieHash(member)) {
        table.deny(member.toString('latin1'), untilMs);
        this.#entries += 1;
      } else {
        problems.count('denied-entry');
        this.#malformed += 1;
      }
    }
    this.#cursor = String(page[0]);
    const over = this.#cursor === CURSOR_START;
    if (over) {
      table.endDenied();
      this.#last = { entries: this.#entries, malformed: this.#malformed, timeMs: runtime.wallMs() };
    }
    flush();
    if (over) readable(null);
    return over;
  }

  unreadable(error: SyncError): void {
    this.#parts.problems.count('denied-table');
    this.#parts.readable(error);
  }
}
