/**
 * The table of backends, as it is read from Redis; what it says is backends.ts. May be imported by src/sync only.
 */
import type { SyncError } from '../errors.ts';
import {
  BACKEND_ENTRY_MAX_BYTES,
  BACKEND_IDS_MAX_BYTES,
  BACKENDS_MAX,
  BACKENDS_MAX_BYTES,
  NAME_MAX_BYTES,
} from '../limits.ts';
import { HASH_SCRIPT } from '../redis/scripts.ts';
import type { KeyRead, RedisTable } from './redis-table.ts';

export interface BackendsTableEvents {
  /**
   * Name, value, name, value, … of `gateway:backends` and of `gateway:backend-ids`; a value is null where it is longer than
   * is allowed.
   */
  read(table: readonly (Buffer | null)[], ids: readonly (Buffer | null)[]): void;
  unreadable(error: SyncError): void;
}

export class BackendsTable implements RedisTable {
  readonly keys: readonly string[];
  readonly #reads: readonly KeyRead[];
  readonly #events: BackendsTableEvents;

  /** @param names prefix of the tables, as `gateway:` */
  constructor(names: string, events: BackendsTableEvents) {
    const table = `${names}backends`;
    const ids = `${names}backend-ids`;
    this.keys = [table, ids];
    const bounds = [BACKENDS_MAX, NAME_MAX_BYTES, BACKEND_ENTRY_MAX_BYTES];
    this.#reads = [
      { script: HASH_SCRIPT, key: table, args: [...bounds, BACKENDS_MAX_BYTES] },
      { script: HASH_SCRIPT, key: ids, args: [...bounds, BACKEND_IDS_MAX_BYTES] },
    ];
    this.#events = events;
  }

  reads(): readonly KeyRead[] {
    return this.#reads;
  }

  apply(replies: readonly unknown[]): boolean {
    this.#events.read(replies[0] as (Buffer | null)[], replies[1] as (Buffer | null)[]);
    return true;
  }

  unreadable(error: SyncError): void {
    this.#events.unreadable(error);
  }
}
