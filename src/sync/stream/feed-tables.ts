/**
 * Which tables the feed's connection has to read again, and the reading: in line with the feed, one step for each of its
 * replies, so that a large table doesn't hold up the sessions. May be imported by src/sync only.
 *
 * A step is sent after the entries that were read and before the request for the next ones. What it brings is as of then, so
 * entries that come later may tell older things for a moment; at the feed's end all is as Redis has it.
 */

import { NAME_MAX_BYTES } from '../limits.ts';
import type { Connection } from '../redis/connection.ts';
import type { FactsTable } from '../tables/facts-table.ts';
import { asCommand, type RedisTable, refusalIn } from '../tables/redis-table.ts';
import { Waiters } from '../waiters.ts';
import type { EntryBatch } from './entry-batch.ts';

export interface FeedTablesParts {
  readonly backends: RedisTable;
  readonly denied: RedisTable;
  readonly facts: FactsTable;
}

interface Tracked {
  readonly table: RedisTable;
  wanted: boolean;
  /** Its first step was carried out, and not its last one. */
  underWay: boolean;
  /** It could not be read; tried again at the next check. */
  refused: boolean;
  /** Readings that came to their end, and those that could not be carried out. */
  ended: number;
}

/** What was asked for, to be applied when the reply is due. */
export interface Asked {
  /** Before the entries that were read with it: they may name what it brings. */
  readonly beforeEntries: boolean;
  /** @throws SyncError where the connection was lost */
  apply(): Promise<void>;
}

export class FeedTables {
  readonly #facts: FactsTable;
  readonly #backendsOf: Tracked;
  readonly #deniedOf: Tracked;
  readonly #factsOf: Tracked;
  /** In the order in which they are read. */
  readonly #all: readonly Tracked[];
  /** Facts that changed; empty where all are read anyway. */
  #named = new Set<string>();
  /** For each table, how many readings must have ended. */
  readonly #read = new Waiters<readonly number[]>();

  constructor({ backends, denied, facts }: FeedTablesParts) {
    const track = (table: RedisTable): Tracked => ({
      table,
      wanted: true,
      underWay: false,
      refused: false,
      ended: 0,
    });
    this.#facts = facts;
    this.#backendsOf = track(backends);
    this.#factsOf = track(facts);
    this.#deniedOf = track(denied);
    this.#all = [this.#backendsOf, this.#factsOf, this.#deniedOf];
  }

  /** Everything is read from its beginning: the connection is new, or entries were missed. */
  restart(): void {
    this.#named.clear();
    for (const one of this.#all) {
      one.wanted = true;
      one.underWay = false;
      one.refused = false;
    }
  }

  /** Resolves once each table was read by a reading that ends after this call, or could not be. @throws the signal's reason */
  readAgain(signal: AbortSignal): Promise<void> {
    for (const one of this.#all) one.wanted = true;
    const wanted = this.#all.map(({ ended }) => ended + 1);
    return this.#read.wait(wanted, signal);
  }

  /** This one is read again. */
  wantAgain(table: RedisTable): void {
    for (const one of this.#all) if (one.table === table) want(one);
  }

  /** All that was to be read again was read. */
  get complete(): boolean {
    return this.#all.every(({ wanted, underWay }) => !wanted && !underWay);
  }

  /** There is something to read at once. */
  get busy(): boolean {
    return this.#all.some(isDue);
  }

  /** Notes what the entries say is to be read again. */
  note(batch: EntryBatch): void {
    for (let i = 0, entry = batch.first; i < batch.length; i++, entry = batch.next(entry)) {
      const op = batch.field(entry, 'op');
      if (op < 0 || batch.size(op) < 4) continue;
      if (batch.isText(op, 'backends')) want(this.#backendsOf);
      else if (batch.isText(op, 'denied')) {
        if (batch.field(entry, 'hash') < 0 && batch.field(entry, 'until') < 0) want(this.#deniedOf);
      } else if (batch.isText(op, 'fact')) this.#noteFact(batch, entry);
    }
  }

  #noteFact(batch: EntryBatch, entry: number): void {
    const value = batch.field(entry, 'name');
    if (value < 0) {
      want(this.#factsOf);
      return;
    }
    const name = batch.slice(value);
    if (name.length === 0 || name.length > NAME_MAX_BYTES) return;
    this.#named.add(name.toString('latin1'));
  }

  /** Asks for one step of one table. @param check it goes with a check, and so may try again what was refused */
  ask(connection: Connection, check: boolean): Asked | null {
    if (check) for (const one of this.#all) one.refused = false;
    const one = this.#all.find(isDue);
    if (one === undefined) return null;
    const first = !one.underWay;
    if (first) one.wanted = false;
    one.underWay = true;
    if (one === this.#factsOf) this.#named.clear();
    const replies = connection.transaction(one.table.reads(first).map(asCommand));
    // Its failure is met when it is awaited.
    replies.catch(() => undefined);
    const apply = async (): Promise<void> => this.#apply(one, await replies, first);
    return { beforeEntries: one === this.#backendsOf, apply };
  }

  /** Asks for the facts that changed. */
  askForFacts(connection: Connection): Asked | null {
    const names = this.#named;
    if (names.size === 0) return null;
    this.#named = new Set();
    const replies = connection.transaction(this.#facts.readsOf(names).map(asCommand));
    replies.catch(() => undefined);
    const apply = async (): Promise<void> => {
      const read = await replies;
      // A refusal shows again where the whole table is read.
      if (refusalIn(this.#facts, read) === null) this.#facts.applyOf(names, read);
      else want(this.#factsOf);
    };
    return { beforeEntries: false, apply };
  }

  #apply(one: Tracked, replies: readonly unknown[], first: boolean): void {
    const refusal = refusalIn(one.table, replies);
    if (refusal !== null) {
      one.table.unreadable(refusal);
      refuse(one);
    } else if (one.table.apply(replies, first)) {
      one.underWay = false;
    } else return;
    one.ended += 1;
    this.#read.resolve((wanted) => this.#all.every(({ ended }, i) => ended >= (wanted[i] as number)));
  }
}

function isDue({ wanted, underWay, refused }: Tracked): boolean {
  return !refused && (wanted || underWay);
}

/** Whoever changed it may have put right why it was refused. */
function want(one: Tracked): void {
  one.wanted = true;
  one.refused = false;
}

function refuse(one: Tracked): void {
  one.wanted = true;
  one.underWay = false;
  one.refused = true;
}
