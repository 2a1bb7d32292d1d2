/**
 * Applies feed entries to the session table, in their order (docs/redis.md, "Feed"). A malformed entry
 * changes nothing and is counted. May be imported by src/sync only.
 *
 * This runs once for every change of every session: no promise and no object is made for an entry but the
 * hash that the table takes.
 */
import { hash as digest } from 'node:crypto';
import { isCookieHash, isText, parseDecimal } from './bytes.ts';
import type { KnownBackends } from './known-backends.ts';
import { EXPIRES_MAX_MS, NAME_MAX_BYTES, SID_MAX_BYTES } from './limits.ts';
import type { PagesUnderWay } from './page-changes.ts';
import type { Problems } from './problems.ts';
import type { SessionTable } from './table.ts';
import { VersionCell } from './versions.ts';

/** As ioredis gives it: the id, and field, value, field, value, … */
export type FeedEntry = readonly [id: Buffer, fields: readonly Buffer[]];

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

  constructor(parts: FeedEntriesParts) {
    this.#table = parts.table;
    this.#backends = parts.backends;
    this.#problems = parts.problems;
    this.#pages = parts.pages;
  }

  /** Queues what the entries say; the caller flushes the table. */
  apply(entries: readonly FeedEntry[], wallMs: number): void {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as FeedEntry;
      this.#applyOne(entry[0], entry[1], wallMs);
    }
  }

  #applyOne(id: Buffer, fields: readonly Buffer[], wallMs: number): void {
    this.#version.set(id);
    if (this.#version.absurd) this.#problems.count('feed-id');
    const op = field(fields, 'op');
    if (op === undefined) this.#ignore('feed-op');
    else if (isText(op, 'set')) this.#set(id, fields, wallMs);
    else if (isText(op, 'del')) this.#del(id, fields);
    else if (isText(op, 'denied')) this.#denied(fields, wallMs);
    else if (isText(op, 'fact')) this.#fact(fields);
    else if (isText(op, 'backends')) this.counts.backends += 1;
    else this.#ignore('feed-unknown-op');
  }

  #ignore(kind: 'feed-op' | 'feed-unknown-op'): void {
    this.counts.other += 1;
    this.#problems.count(kind);
  }

  /** A session that has ended already is put all the same: the table takes it for none. */
  #set(id: Buffer, fields: readonly Buffer[], wallMs: number): void {
    this.counts.set += 1;
    const sid = this.#required(fields, 'sid', SID_MAX_BYTES, 'feed-sid');
    if (sid === undefined) return;
    const backend = this.#required(fields, 'backend', NAME_MAX_BYTES, 'feed-backend');
    if (backend === undefined) return;
    const expires = field(fields, 'expires');
    let expiresMs = expires === undefined ? -1 : parseDecimal(expires);
    if (expiresMs < 0) {
      this.#problems.count('feed-expires');
      return;
    }
    if (expiresMs > EXPIRES_MAX_MS) {
      expiresMs = EXPIRES_MAX_MS;
      this.#problems.count('feed-expiry');
    }
    const backendId = this.#backends.idOf(backend);
    if (backendId === 0) this.#problems.count('unknown-backend');
    const hash = digest('sha256', sid, 'hex');
    this.#table.put(hash, this.#version, expiresMs, backendId);
    if (this.#pages.any) {
      const endsSoon = expiresMs !== 0 && expiresMs < wallMs + ENDS_SOON_MS;
      if (endsSoon || this.#version.inexact) this.#pages.note(hash, id);
    }
  }

  #del(id: Buffer, fields: readonly Buffer[]): void {
    this.counts.del += 1;
    const sid = this.#required(fields, 'sid', SID_MAX_BYTES, 'feed-sid');
    if (sid === undefined) return;
    const hash = digest('sha256', sid, 'hex');
    this.#table.remove(hash, this.#version);
    if (this.#pages.any) this.#pages.note(hash, id);
  }

  /** @returns undefined, and the problem is counted, where the field is missing, empty or too long */
  #required(
    fields: readonly Buffer[],
    name: string,
    maxBytes: number,
    kind: 'feed-sid' | 'feed-backend',
  ): Buffer | undefined {
    const value = field(fields, name);
    if (value !== undefined && value.length > 0 && value.length <= maxBytes) return value;
    this.#problems.count(kind);
    return undefined;
  }

  /** Without its fields it says that the table is to be read again (feed-tables.ts). */
  #denied(fields: readonly Buffer[], wallMs: number): void {
    this.counts.denied += 1;
    const hash = field(fields, 'hash');
    const until = field(fields, 'until');
    if (hash === undefined && until === undefined) return;
    const untilMs = until === undefined ? -1 : parseDecimal(until);
    if (hash === undefined || !isCookieHash(hash) || untilMs < 0) {
      this.#problems.count('feed-denied');
      return;
    }
    // What is over already takes back a revocation that would have been longer.
    this.#table.deny(hash.toString('latin1'), untilMs > wallMs ? Math.min(untilMs, EXPIRES_MAX_MS) : 0);
  }

  /** The fact itself is read from its table (feed-tables.ts). */
  #fact(fields: readonly Buffer[]): void {
    this.counts.fact += 1;
    const name = field(fields, 'name');
    if (name !== undefined && (name.length === 0 || name.length > NAME_MAX_BYTES)) this.#problems.count('feed-fact');
  }
}

/** The value of the first field of that name. */
export function field(fields: readonly Buffer[], name: string): Buffer | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (isText(fields[i] as Buffer, name)) return fields[i + 1];
  return undefined;
}
