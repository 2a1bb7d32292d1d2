/**
 * A table that is read from Redis as a whole, in one step or more: the port between the tables (backends-table.ts, denied-table.ts,
 * facts-table.ts) and the two ways of following Redis. May be imported by src/sync only.
 */

import { errorMessage, SyncError } from '../errors.ts';
import type { Argument } from '../redis/connection.ts';
import type { Script } from '../redis/scripts.ts';

/** A script that reads one key. */
export interface KeyRead {
  readonly script: Script;
  readonly key: string;
  readonly args: readonly Argument[];
}

export interface RedisTable {
  /** What a change of any of these changes. */
  readonly keys: readonly string[];
  /**
   * What the next step reads, in this order.
   * @param first the reading begins; one that was under way is given up
   */
  reads(first: boolean): readonly KeyRead[];
  /**
   * Applies the replies to them; nothing of it waits.
   * @returns whether the table is read, to its end
   */
  apply(replies: readonly unknown[], first: boolean): boolean;
  /** It can't be read now: what was known stays. */
  unreadable(error: SyncError): void;
}

/** One script as a command that needs no second try where Redis doesn't know it yet. */
export function asCommand({ script, key, args }: KeyRead): readonly [string, ...Argument[]] {
  return ['EVAL_RO', script.text, 1, key, ...args];
}

/** @returns why Redis refused one of the reads; null where it refused none */
export function refusalIn(table: RedisTable, replies: readonly unknown[]): SyncError | null {
  const refused = replies.find((reply) => !Array.isArray(reply));
  if (refused === undefined) return null;
  return new SyncError('REDIS_REFUSED', `${table.keys.join(', ')}: ${errorMessage(refused)}`, { cause: refused });
}
