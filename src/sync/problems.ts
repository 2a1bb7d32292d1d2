/**
 * What is wrong with the data in Redis, counted by kind: nothing of it stops the sync. Each kind is logged at
 * most once a minute, with the number since, and never with a session id. May be imported by every floor above.
 */
import type { Log } from './log.ts';
import type { Runtime } from './runtime.ts';

/** Every kind, with what it means and what became of the thing. */
export const PROBLEMS = {
  'record-type': 'a key under the session prefix is of another type than sessions.backend says: no session',
  'record-sid': 'a session id is empty or longer than 1024 bytes: no session',
  'record-json': 'a session record is not JSON, or is longer than 65536 bytes: no session',
  'record-no-backend': 'a session record has no backend field: no session',
  'record-backend': 'a backend name in a session record is empty or longer than 256 bytes: no session',
  'record-expiry': 'a session record expires after the year 9999: taken for the end of that year',
  'unknown-backend': 'a session names a backend that gateway:backends does not have: lookups find nothing',
  'feed-id': 'the id of a feed entry is beyond the year 2248: records of that time have no exact version',
  'feed-entry-size': 'a feed entry alone is larger than 16 MiB: not read, all sessions are read again in its place',
  'feed-op': 'a feed entry has no op: ignored',
  'feed-unknown-op': 'a feed entry has an op that this version does not know: ignored',
  'feed-sid': 'a set or del in the feed has no sid, or one that is empty or longer than 1024 bytes: ignored',
  'feed-backend': 'a set in the feed has no backend, or a name that is empty or longer than 256 bytes: ignored',
  'feed-expires': 'a set in the feed has no expires, or one that is not a decimal number: ignored',
  'feed-expiry': 'a set in the feed expires after the year 9999: taken for the end of that year',
  'feed-denied': 'a denied in the feed has a hash or an until that is missing or malformed: ignored',
  'feed-fact': 'a fact in the feed has a name that is empty or longer than 256 bytes: ignored',
  'denied-table': 'gateway:denied can not be read: who was known to be revoked stays so, and no one else becomes it',
  'denied-entry': 'a member of gateway:denied is not 32 hexadecimal digits in lower case: ignored',
  'facts-table': 'gateway:facts or gateway:fact-ids can not be read: the last known facts stay',
  'fact-entry':
    'a fact has a name that is empty or longer than 256 bytes, or a value longer than 24: there is no such fact',
  'fact-id': 'a fact has no feed entry id in gateway:fact-ids, or one that is malformed: its version is 0',
  'backends-table': 'gateway:backends or gateway:backend-ids can not be read: the last known backends stay',
  'backend-entry':
    'an entry of gateway:backends is malformed: it is on no ring; its last good address stays, where there is one',
  'backend-field': 'an entry of gateway:backends has a field that this version does not know: ignored',
  'backend-id': 'two entries of gateway:backends claim one id: one of them is used, the other is malformed',
  'table-full': 'the session table is full: sessions were not stored',
  'denied-full': 'more sessions are revoked than a gateway holds, 262,144: those beyond are not denied',
  'facts-full': 'there are more facts than a gateway holds, 4,096: those beyond are not found',
} as const;

export type ProblemKind = keyof typeof PROBLEMS;

const KINDS = Object.keys(PROBLEMS) as ProblemKind[];

const LOG_EVERY_MS = 60_000;

interface Tally {
  total: number;
  logged: number;
  /** Monotonic; no line before it. */
  nextLogMs: number;
}

export class Problems {
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #tallies: Record<ProblemKind, Tally>;

  constructor(runtime: Runtime, log: Log) {
    this.#runtime = runtime;
    this.#log = log;
    this.#tallies = Object.fromEntries(
      KINDS.map((kind) => [kind, { total: 0, logged: 0, nextLogMs: Number.NEGATIVE_INFINITY }]),
    ) as Record<ProblemKind, Tally>;
  }

  count(kind: ProblemKind, number = 1): void {
    this.#tallies[kind].total += number;
  }

  /** Logs what has come since; called once for each reply, so that a page or a reply makes one line. */
  report(): void {
    for (const kind of KINDS) {
      const tally = this.#tallies[kind];
      if (tally.total === tally.logged) continue;
      const nowMs = this.#runtime.monotonicMs();
      if (nowMs < tally.nextLogMs) continue;
      const number = tally.total - tally.logged;
      tally.logged = tally.total;
      tally.nextLogMs = nowMs + LOG_EVERY_MS;
      this.#log('warn', 'problem', { kind, number, total: tally.total, meaning: PROBLEMS[kind] });
    }
  }

  /** How many of each kind, since the start. */
  totals(): Record<ProblemKind, number> {
    return Object.fromEntries(KINDS.map((kind) => [kind, this.#tallies[kind].total])) as Record<ProblemKind, number>;
  }
}
