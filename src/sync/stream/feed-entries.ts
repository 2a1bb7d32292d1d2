/**
 * Applies feed entries to the session table, in their order (docs/redis.md, "Feed"). A malformed entry
 * changes nothing and is counted. May be imported by src/sync only.
 *
 * This runs once for every change of every session: no promise and no object is made for an entry but the
 * hash that the table takes.
 */
import { hash as digest } from 'node:crypto';
import { isCookieHash, parseDecimal } from '../bytes.ts';
import { COOKIE_HASH_DIGITS, EXPIRES_MAX_MS, NAME_MAX_BYTES, SID_MAX_BYTES } from '../limits.ts';
import type { Problems } from '../problems.ts';
import type { PagesUnderWay } from '../snapshot/page-changes.ts';
import type { SessionTable } from '../table.ts';
import type { KnownBackends } from '../tables/known-backends.ts';
import { VersionCell } from '../versions.ts';
import type { EntryBatch } from './entry-batch.ts';

/** Entries applied, by op; `other` are those without a known one. */
export interface FeedCounts {
  set: number;
  del: number;
  denied: number;
  fact: number;
  backends: number;
  other: number;
}

/** A session that ends this soon may be collected before a page that shows an older record of it is applied. */
const ENDS_SOON_MS = 60_000;

export interface FeedEntriesParts {
  readonly table: SessionTable;
  readonly backends: KnownBackends;
  readonly problems: Problems;
  readonly pages: PagesUnderWay;
}

export class FeedEntries {
  readonly counts: FeedCounts = { set: 0, del: 0, denied: 0, fact: 0, backends: 0, other: 0 };
  readonly #table: SessionTable;
  readonly #backends: KnownBackends;
  readonly #problems: Problems;
  readonly #pages: PagesUnderWay;
  readonly #version = new VersionCell();
  readonly #askedVersion = new VersionCell();

  constructor(parts: FeedEntriesParts) {
    this.#table = parts.table;
    this.#backends = parts.backends;
    this.#problems = parts.problems;
    this.#pages = parts.pages;
  }

  /** Queues what the entries say; the caller flushes the table. */
  apply(batch: EntryBatch, wallMs: number): void {
    for (let i = 0, entry = batch.first; i < batch.length; i++, entry = batch.next(entry)) {
      this.#applyOne(batch, entry, wallMs);
    }
  }

  /**
   * Queues what one entry says of a session that is asked for, before its turn: nothing is counted, since all of it comes again then.
   * @param wanted cookie hashes, 32 hexadecimal digits each
   * @returns the session's hash; null where the entry is of no such session, or malformed
   */
  applyAsked(batch: EntryBatch, entry: number, wanted: ReadonlySet<string>): string | null {
    const op = batch.field(entry, 'op');
    const isSet = op >= 0 && batch.isText(op, 'set');
    if (!isSet && !(op >= 0 && batch.isText(op, 'del'))) return null;
    const sid = batch.field(entry, 'sid');
    if (sid < 0 || batch.size(sid) === 0 || batch.size(sid) > SID_MAX_BYTES) return null;
    const hash = digest('sha256', batch.slice(sid), 'hex').slice(0, COOKIE_HASH_DIGITS);
    if (!wanted.has(hash)) return null;
    const id = batch.id(entry);
    this.#askedVersion.set(batch.bytes, batch.start(id), batch.size(id));
    if (!isSet) {
      this.#table.remove(hash, this.#askedVersion);
      return hash;
    }
    const backend = batch.field(entry, 'backend');
    const expires = batch.field(entry, 'expires');
    if (backend < 0 || batch.size(backend) === 0 || batch.size(backend) > NAME_MAX_BYTES || expires < 0) return null;
    const expiresMs = parseDecimal(batch.bytes, batch.start(expires), batch.size(expires));
    if (expiresMs < 0) return null;
    const backendId = this.#backends.idOf(batch.bytes, batch.start(backend), batch.size(backend));
    this.#table.put(hash, this.#askedVersion, Math.min(expiresMs, EXPIRES_MAX_MS), backendId);
    return hash;
  }

  #applyOne(batch: EntryBatch, entry: number, wallMs: number): void {
    const id = batch.id(entry);
    this.#version.set(batch.bytes, batch.start(id), batch.size(id));
    if (this.#version.absurd) this.#problems.count('feed-id');
    const op = batch.field(entry, 'op');
    if (op < 0) this.#ignore('feed-op');
    else if (batch.isText(op, 'set')) this.#set(batch, entry, wallMs);
    else if (batch.isText(op, 'del')) this.#del(batch, entry);
    else if (batch.isText(op, 'denied')) this.#denied(batch, entry, wallMs);
    else if (batch.isText(op, 'fact')) this.#fact(batch, entry);
    else if (batch.isText(op, 'backends')) this.counts.backends += 1;
    else this.#ignore('feed-unknown-op');
  }

  #ignore(kind: 'feed-op' | 'feed-unknown-op'): void {
    this.counts.other += 1;
    this.#problems.count(kind);
  }

  /** A session that has ended already is put all the same: the table takes it for none. */
  #set(batch: EntryBatch, entry: number, wallMs: number): void {
    this.counts.set += 1;
    const sid = this.#required(batch, batch.field(entry, 'sid'), SID_MAX_BYTES, 'feed-sid');
    if (sid < 0) return;
    const backend = this.#required(batch, batch.field(entry, 'backend'), NAME_MAX_BYTES, 'feed-backend');
    if (backend < 0) return;
    const expires = batch.field(entry, 'expires');
    let expiresMs = expires < 0 ? -1 : parseDecimal(batch.bytes, batch.start(expires), batch.size(expires));
    if (expiresMs < 0) {
      this.#problems.count('feed-expires');
      return;
    }
    if (expiresMs > EXPIRES_MAX_MS) {
      expiresMs = EXPIRES_MAX_MS;
      this.#problems.count('feed-expiry');
    }
    const backendId = this.#backends.idOf(batch.bytes, batch.start(backend), batch.size(backend));
    if (backendId === 0) this.#problems.count('unknown-backend');
    const hash = digest('sha256', batch.slice(sid), 'hex');
    this.#table.put(hash, this.#version, expiresMs, backendId);
    if (this.#pages.any) {
      const endsSoon = expiresMs !== 0 && expiresMs < wallMs + ENDS_SOON_MS;
      if (endsSoon || this.#version.inexact) this.#pages.note(hash, batch.slice(batch.id(entry)));
    }
  }

  #del(batch: EntryBatch, entry: number): void {
    this.counts.del += 1;
    const sid = this.#required(batch, batch.field(entry, 'sid'), SID_MAX_BYTES, 'feed-sid');
    if (sid < 0) return;
    const hash = digest('sha256', batch.slice(sid), 'hex');
    this.#table.remove(hash, this.#version);
    if (this.#pages.any) this.#pages.note(hash, batch.slice(batch.id(entry)));
  }

  /** @returns -1, and the problem is counted, where the value is missing, empty or too long */
  #required(batch: EntryBatch, value: number, maxBytes: number, kind: 'feed-sid' | 'feed-backend'): number {
    if (value >= 0 && batch.size(value) > 0 && batch.size(value) <= maxBytes) return value;
    this.#problems.count(kind);
    return -1;
  }

  /** Without its fields it says that the table is to be read again (feed-tables.ts). */
  #denied(batch: EntryBatch, entry: number, wallMs: number): void {
    this.counts.denied += 1;
    const hash = batch.field(entry, 'hash');
    const until = batch.field(entry, 'until');
    if (hash < 0 && until < 0) return;
    const untilMs = until < 0 ? -1 : parseDecimal(batch.slice(until));
    if (hash < 0 || !isCookieHash(batch.slice(hash)) || untilMs < 0) {
      this.#problems.count('feed-denied');
      return;
    }
    // What is over already takes back a revocation that would have been longer.
    this.#table.deny(batch.slice(hash).toString('latin1'), untilMs > wallMs ? Math.min(untilMs, EXPIRES_MAX_MS) : 0);
  }

  /** The fact itself is read from its table (feed-tables.ts). */
  #fact(batch: EntryBatch, entry: number): void {
    this.counts.fact += 1;
    const name = batch.field(entry, 'name');
    if (name >= 0 && (batch.size(name) === 0 || batch.size(name) > NAME_MAX_BYTES)) this.#problems.count('feed-fact');
  }
}
