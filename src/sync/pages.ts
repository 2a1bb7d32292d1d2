/**
 * Reads snapshot pages from Redis by a server-side script, page.lua. May be imported by src/sync only.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Connection } from './connection.ts';
import { SyncError } from './errors.ts';
import type { PageChanges, PagesUnderWay } from './page-changes.ts';
import type { Runtime } from './runtime.ts';
import { parseStreamId, type StreamId } from './versions.ts';

const SCRIPT = readFileSync(new URL('./page.lua', import.meta.url), 'utf8');
const SCRIPT_SHA1 = createHash('sha1').update(SCRIPT).digest('hex');

/** A SCAN that is over; also where one begins. */
export const CURSOR_START = '0';

/** Where a session's backend is named: in a field of a hash. */
export interface BackendSource {
  readonly in: 'hash';
  readonly field: string;
}

export interface PagesOptions {
  readonly feed: string;
  readonly prefix: string;
  readonly backend: BackendSource;
  /** COUNT of each SCAN. */
  readonly pageSize: number;
  /** For one page, ms. */
  readonly deadlineMs: number;
}

export interface Page {
  /** Of the next page; `CURSOR_START` after the last one. */
  readonly cursor: string;
  /** The feed's last entry at the moment of the page. */
  readonly id: StreamId;
  /** Key, backend (or null), end, from index 2 on: as page.lua says. */
  readonly records: readonly unknown[];
  readonly changes: PageChanges;
  /** From the request to the reply. */
  readonly tookMs: number;
}

export class Pages {
  readonly #connection: Connection;
  readonly #runtime: Runtime;
  readonly #underWay: PagesUnderWay;
  readonly #options: PagesOptions;
  readonly #pattern: string;

  constructor(connection: Connection, runtime: Runtime, underWay: PagesUnderWay, options: PagesOptions) {
    this.#connection = connection;
    this.#runtime = runtime;
    this.#underWay = underWay;
    this.#options = options;
    this.#pattern = `${escapeGlob(options.prefix)}*`;
  }

  /**
   * Asks for the page at `cursor`. Its `changes` are kept up to date until `PagesUnderWay.end`, which is left to the
   * caller once the promise is fulfilled.
   * @throws SyncError as `Connection.call`
   */
  async ask(cursor: string): Promise<Page> {
    const changes = this.#underWay.begin();
    const sentMs = this.#runtime.monotonicMs();
    try {
      this.#connection.expectReplyWithin(this.#options.deadlineMs);
      const reply = await this.#evaluate(cursor);
      this.#connection.expectNothing();
      if (!Array.isArray(reply) || reply.length < 2) throw new SyncError('REDIS_REPLY', 'a page: found no list');
      return {
        cursor: String(reply[0]),
        id: parseStreamId(String(reply[1])),
        records: reply,
        changes,
        tookMs: this.#runtime.monotonicMs() - sentMs,
      };
    } catch (error) {
      this.#underWay.end(changes);
      throw error;
    }
  }

  async #evaluate(cursor: string): Promise<unknown> {
    const { feed, pageSize, backend } = this.#options;
    const evaluate = (command: string, script: string): Promise<unknown> =>
      this.#connection.call(command, script, 1, feed, cursor, this.#pattern, pageSize, backend.field);
    try {
      return await evaluate('EVALSHA_RO', SCRIPT_SHA1);
    } catch (error) {
      if (!(error instanceof SyncError) || !error.message.includes('NOSCRIPT')) throw error;
      // With its text it is run and kept in one step; a flush can't come between the two.
      return await evaluate('EVAL_RO', SCRIPT);
    }
  }
}

/** A pattern of SCAN that matches exactly `text`. */
export function escapeGlob(text: string): string {
  return text.replaceAll(/[*?[\]\\^]/g, '\\$&');
}
