/**
 * Reads snapshot pages from Redis by a server-side script, page.lua, in place. May be imported by src/sync only.
 */

import { SyncError } from '../errors.ts';
import { PAGE_MAX_BYTES } from '../limits.ts';
import type { Argument, Connection } from '../redis/connection.ts';
import { evaluateBy, PAGE_SCRIPT } from '../redis/scripts.ts';
import type { Runtime } from '../runtime.ts';
import { cursorAtFront, PageBatch } from './page-batch.ts';
import type { PageChanges, PagesUnderWay } from './page-changes.ts';
import { type BackendSource, readArguments } from './session-forms.ts';

/** A SCAN that is over; also where one begins. */
export const CURSOR_START = '0';

/** Which sessions there are, and what of them is read. */
export interface SessionsOptions {
  readonly prefix: string;
  readonly backend: BackendSource;
}

export interface PagesOptions extends SessionsOptions {
  readonly feed: string;
  /** COUNT of each SCAN; less where that many sessions are more than PAGE_MAX_BYTES. */
  readonly pageSize: number;
  /** For one page, ms. */
  readonly deadlineMs: number;
}

export interface Page {
  readonly batch: PageBatch;
  readonly changes: PageChanges;
  /** From the request to the reply. */
  readonly tookMs: number;
}

export class Pages {
  readonly #connection: Connection;
  readonly #runtime: Runtime;
  readonly #underWay: PagesUnderWay;
  readonly #options: PagesOptions;
  /** Pages that were asked for and are not there. */
  #asked = 0;

  /** @param connection one whose replies are read in place */
  constructor(connection: Connection, runtime: Runtime, underWay: PagesUnderWay, options: PagesOptions) {
    this.#connection = connection;
    this.#runtime = runtime;
    this.#underWay = underWay;
    this.#options = options;
  }

  /**
   * Asks for the page at `cursor`. Its `changes` are kept up to date until `PagesUnderWay.end`, which is left to the
   * caller once the promise is fulfilled. Pages come in the order in which they were asked for.
   * @param ahead called, where the reply's beginning tells it, with the next page's cursor before this page is read: a page that is asked
   * for then has Redis at work meanwhile
   * @throws SyncError as `Connection.call`
   */
  async ask(cursor: string, ahead: (cursor: string) => void): Promise<Page> {
    const changes = this.#underWay.begin();
    const sentMs = this.#runtime.monotonicMs();
    const { feed, pageSize, deadlineMs } = this.#options;
    const begun = (first: Buffer): void => {
      const next = cursorAtFront(first);
      if (next !== null) ahead(next);
    };
    this.#asked += 1;
    try {
      this.#connection.expectReplyWithin(deadlineMs);
      const args = pageArguments(this.#options, cursor, pageSize);
      const batch = await evaluateBy(
        (...command) => this.#connection.readBegun(begun, (reply) => new PageBatch(reply), ...command),
        PAGE_SCRIPT,
        [feed],
        args,
      );
      return { batch, changes, tookMs: this.#runtime.monotonicMs() - sentMs };
    } catch (error) {
      this.#underWay.end(changes);
      throw error;
    } finally {
      this.#asked -= 1;
      if (this.#asked === 0) this.#connection.expectNothing();
    }
  }
}

/** The ARGV of page.lua. */
export function pageArguments({ prefix, backend }: SessionsOptions, cursor: string, pageSize: number): Argument[] {
  return [cursor, `${escapeGlob(prefix)}*`, pageSize, PAGE_MAX_BYTES, ...readArguments(backend)];
}

/** @throws SyncError REDIS_REPLY where it is not what page.lua returns */
export function asPage(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply) || reply.length < 2) throw new SyncError('REDIS_REPLY', 'a page: found no list');
  return reply;
}

/** A pattern of SCAN and PSUBSCRIBE that matches exactly `text`. */
export function escapeGlob(text: string): string {
  return text.replaceAll(/[*?[\]\\^]/g, '\\$&');
}
