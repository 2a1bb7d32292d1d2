/**
 * The facts: hash `gateway:facts`, name → value, and hash `gateway:fact-ids`, name → id of the feed entry that set it
 * (docs/redis.md, "Facts"), brought into the session table. May be imported by src/sync only.
 */
import { hash as digest } from 'node:crypto';
import type { SyncError } from '../errors.ts';
import { FACT_VALUE_MAX_BYTES, FACTS_MAX, FACTS_MAX_BYTES, NAME_MAX_BYTES, STREAM_ID_MAX_BYTES } from '../limits.ts';
import type { Problems } from '../problems.ts';
import { HASH_SCRIPT } from '../redis/scripts.ts';
import type { Runtime } from '../runtime.ts';
import type { TableReading } from '../status.ts';
import type { SessionTable, Version } from '../table.ts';
import { isStreamId, VersionCell } from '../versions.ts';
import type { KeyRead, RedisTable } from './redis-table.ts';

export interface FactsTableParts {
  readonly table: SessionTable;
  readonly problems: Problems;
  readonly runtime: Runtime;
  /** Carries out what is queued in the table. */
  readonly flush: () => void;
  /** They are read from their beginning. */
  readonly begun: () => void;
  /** They can be read, or not and why. */
  readonly readable: (why: SyncError | null) => void;
}

/** Names of facts that changed, their bytes as Latin-1. */
export type NamedFacts = ReadonlySet<string>;

/** The version of a fact whose entry's id isn't known. */
const UNKNOWN: Version = { ms: 0, seq: 0 };

export class FactsTable implements RedisTable {
  readonly keys: readonly string[];
  readonly #parts: FactsTableParts;
  readonly #reads: readonly KeyRead[];
  readonly #version = new VersionCell();
  #last: TableReading | null = null;

  /** @param names prefix of the tables, as `gateway:` */
  constructor(names: string, parts: FactsTableParts) {
    this.keys = [`${names}facts`, `${names}fact-ids`];
    this.#parts = parts;
    const [values, ids] = this.keys as [string, string];
    const bounds = (longest: number) => [FACTS_MAX, NAME_MAX_BYTES, longest, FACTS_MAX_BYTES];
    // Where they aren't read in one step, no value is given a version that is newer than it.
    this.#reads = [
      { script: HASH_SCRIPT, key: ids, args: bounds(STREAM_ID_MAX_BYTES) },
      { script: HASH_SCRIPT, key: values, args: bounds(FACT_VALUE_MAX_BYTES) },
    ];
  }

  /** What the last reading of the whole table found; null before it. */
  get last(): TableReading | null {
    return this.#last;
  }

  reads(): readonly KeyRead[] {
    return this.#reads;
  }

  apply(replies: readonly unknown[]): boolean {
    const { table, runtime, flush, begun, readable } = this.#parts;
    const ids = byName(replies[0]);
    let entries = 0;
    let malformed = 0;
    table.beginFacts();
    begun();
    // Sorted, so that of too many every gateway that reads them holds the same ones.
    for (const [name, value] of [...byName(replies[1])].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (this.#put(name, value, ids.get(name))) entries += 1;
      else malformed += 1;
    }
    table.endFacts();
    this.#last = { entries, malformed, timeMs: runtime.wallMs() };
    flush();
    readable(null);
    return true;
  }

  unreadable(error: SyncError): void {
    this.#parts.problems.count('facts-table');
    this.#parts.readable(error);
  }

  /** What reads these facts only. */
  readsOf(names: NamedFacts): readonly KeyRead[] {
    const bytes = [...names].map((name) => Buffer.from(name, 'latin1'));
    return this.#reads.map((read) => ({ ...read, args: [...read.args, ...bytes] }));
  }

  /** Applies the replies to `readsOf`. */
  applyOf(names: NamedFacts, replies: readonly unknown[]): void {
    const ids = byName(replies[0]);
    const values = byName(replies[1]);
    for (const name of names) {
      const value = values.get(name);
      if (value === undefined || !this.#put(name, value, ids.get(name))) this.#parts.table.removeFact(nameHash(name));
    }
    this.#parts.flush();
  }

  /**
   * @param value and `id`: null where it is longer than is allowed
   * @returns false, and the problem is counted, where it is no fact
   */
  #put(name: string, value: Buffer | null, id: Buffer | null | undefined): boolean {
    const { table, problems } = this.#parts;
    if (name.length === 0 || name.length > NAME_MAX_BYTES || value === null) {
      problems.count('fact-entry');
      return false;
    }
    const known = id != null && isStreamId(id);
    if (known) this.#version.set(id);
    else problems.count('fact-id');
    table.putFact(nameHash(name), value, known ? this.#version : UNKNOWN);
    return true;
  }
}

/** @param reply name, value, name, value, …; the key is the name's bytes as Latin-1 */
function byName(reply: unknown): Map<string, Buffer | null> {
  const entries = reply as readonly (Buffer | null)[];
  const found = new Map<string, Buffer | null>();
  for (let i = 0; i + 1 < entries.length; i += 2) {
    found.set((entries[i] as Buffer).toString('latin1'), entries[i + 1] as Buffer | null);
  }
  return found;
}

/** First 16 bytes of SHA-256 over the name's bytes, 32 hexadecimal digits (docs/protocol.md, "Names"). */
function nameHash(name: string): string {
  return digest('sha256', Buffer.from(name, 'latin1'), 'hex').slice(0, 32);
}
