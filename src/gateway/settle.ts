/**
 * Settling: writes where users are answered to now into their session records, so that a backend which is draining, down or
 * shedding is no longer named by those who have left it. May be imported by src/gateway only.
 *
 * No user's answer changes by it, whenever it stops. A session goes where it is answered to anyway (present-answers.ts), and only
 * in a transaction that Redis refuses if the backends are others by then than those it was worked out from. Each move is
 * compare-and-set and keeps the end, so a session that was moved, ended or deleted meanwhile stays as it is; and a session that was moved is no
 * longer stored on the backend, so a run that is begun again goes on where the last one ended.
 */
import type { Redis } from 'ioredis';
import { cookieHash } from '../auth/cookie.ts';
import { SyncError, withoutCommand } from '../sync/errors.ts';
import type { Functions } from '../sync/redis/functions.ts';
import { type Runtime, sleep } from '../sync/runtime.ts';
import type { SessionsOptions } from '../sync/snapshot/pages.ts';
import { parseBackends } from '../sync/tables/backends.ts';
import { failure } from './errors.ts';
import { PresentAnswers } from './present-answers.ts';
import { type StoredSession, storedSessions } from './stored-sessions.ts';

/** Sessions in one transaction, for which Redis does nothing else: about 5 ms. Never more than a second's worth of the rate. */
const BATCH_MAX = 100;
/** Of one transaction, before the backends are said to change all the time. */
const TRIES_MAX = 20;
/** Writers may store sessions on the backend meanwhile: so often all sessions are gone through, until none is found to move. */
const PASSES_MAX = 3;

export interface SettleOptions {
  /** Sessions moved a second, at most. */
  readonly rate: number;
  /** Only count. */
  readonly dryRun: boolean;
  /** Ends it after the batch that is under way. */
  readonly signal: AbortSignal;
  /** Told after each page, and after each transaction within one. */
  readonly onProgress?: (progress: SettleProgress) => void;
}

export interface SettleProgress {
  /** From 1 on. */
  readonly pass: number;
  /** How far this pass is, over 0 to 1; 1 when it ends. */
  readonly part: number;
  /** Since the start. */
  readonly moved: number;
}

export interface SettleResult {
  /** Sessions moved, or that would be. */
  readonly moved: number;
  /** Of them, where to, by name. */
  readonly targets: Readonly<Record<string, number>>;
  /** Stored on the backend and answered with it now: they stay. */
  readonly staying: number;
  /** Gone, or stored elsewhere, by the time that they were to be moved. */
  readonly changed: number;
  /** False where sessions were still found to move in the last pass: writers go on storing them. */
  readonly complete: boolean;
}

export interface SettleParts {
  /** A connection that nobody else uses meanwhile. */
  readonly redis: Redis;
  readonly functions: Functions;
  readonly runtime: Runtime;
  readonly sessions: SessionsOptions;
  /** Prefix of the tables. */
  readonly names: string;
}

type Counts = { -readonly [K in keyof Omit<SettleResult, 'targets'>]: SettleResult[K] } & {
  readonly targets: Map<string, number>;
};

export class Settle {
  readonly #parts: SettleParts;
  readonly #name: string;
  readonly #nameBytes: Buffer;
  readonly #options: SettleOptions;
  readonly #counts: Counts = { moved: 0, targets: new Map(), staying: 0, changed: 0, complete: false };
  /** What the answers were worked out from. */
  #tables: readonly Buffer[] = [];
  #answers = new PresentAnswers([]);
  #known: readonly string[] = [];
  /** What is wrong with the backend's entry. */
  #fault: string | undefined;
  /** Monotonic; when the next batch has its turn. */
  #nextMs = 0;

  /** @param name of the backend whose users are settled */
  constructor(parts: SettleParts, name: string, options: SettleOptions) {
    this.#parts = parts;
    this.#name = name;
    this.#nameBytes = Buffer.from(name, 'utf8');
    this.#options = options;
  }

  get moved(): number {
    return this.#counts.moved;
  }

  /** @throws GatewayError BACKEND_UNKNOWN, BACKEND_REFUSED, SETTLE_STOPPED; what ioredis throws */
  async run(): Promise<SettleResult> {
    await this.#readTables();
    this.#requireBackend();
    for (let pass = 1; !this.#counts.complete && pass <= PASSES_MAX; pass++) {
      this.#counts.complete = (await this.#pass(pass)) === 0 || this.#options.dryRun;
    }
    return { ...this.#counts, targets: Object.fromEntries(this.#counts.targets) };
  }

  /** @returns how many sessions were found to move */
  async #pass(pass: number): Promise<number> {
    const { redis, runtime, sessions } = this.#parts;
    const { onProgress, signal, rate } = this.#options;
    const tell = (part: number): void => onProgress?.({ pass, part, moved: this.#counts.moved });
    const batchSize = Math.min(BATCH_MAX, rate);
    this.#counts.staying = 0;
    let found = 0;
    let passed = 0;
    let askedMs = runtime.monotonicMs();
    for await (const page of storedSessions(redis, sessions)) {
      const tookMs = runtime.monotonicMs() - askedMs;
      this.#stopIfAsked();
      const stored = page.sessions.filter(({ backend }) => backend.equals(this.#nameBytes));
      for (let at = 0; at < stored.length; at += batchSize) {
        const batch = stored.slice(at, at + batchSize);
        found += await this.#settle(batch);
        this.#stopIfAsked();
        tell(passed + ((page.part - passed) * (at + batch.length)) / stored.length);
      }
      passed = page.part;
      tell(passed);
      // Redis has half of the time for others.
      await sleep(runtime, tookMs, signal);
      askedMs = runtime.monotonicMs();
    }
    return found;
  }

  #stopIfAsked(): void {
    if (this.#options.signal.aborted)
      throw failure('SETTLE_STOPPED', { moved: this.#counts.moved, reason: 'it was stopped' });
  }

  /** @returns how many of them were to be moved */
  async #settle(stored: readonly StoredSession[]): Promise<number> {
    const { redis } = this.#parts;
    if (this.#options.dryRun) return this.#planned(stored).length;
    await this.#turn();
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      // From here on the transaction fails if the backends change.
      await this.#readTables('WATCH');
      const stayingBefore = this.#counts.staying;
      const moves = this.#planned(stored);
      if (moves.length === 0) {
        await redis.unwatch();
        return 0;
      }
      if (await this.#carryOut(moves)) return moves.length;
      this.#counts.staying = stayingBefore;
    }
    throw failure('SETTLE_STOPPED', { moved: this.#counts.moved, reason: 'the backends changed all the time' });
  }

  #planned(stored: readonly StoredSession[]): Move[] {
    const moves: Move[] = [];
    for (const { sid } of stored) {
      const to = this.#answers.movedTo(this.#name, cookieHash(sid));
      if (to === null) this.#counts.staying += 1;
      else moves.push({ sid, to });
    }
    if (this.#options.dryRun) for (const { to } of moves) this.#countMove(to);
    return moves;
  }

  /** @returns false where the backends have changed: nothing was done */
  async #carryOut(moves: readonly Move[]): Promise<boolean> {
    const { redis, functions, runtime } = this.#parts;
    const transaction = redis.multi();
    for (const { sid, to } of moves) transaction.call('FCALL', ...functions.sessionMoveCall(sid, this.#name, to));
    const replies = await transaction.exec();
    if (replies === null) return false;
    this.#nextMs = Math.max(this.#nextMs, runtime.monotonicMs()) + (1000 * moves.length) / this.#options.rate;
    for (const [i, [error, reply]] of replies.entries()) {
      if (error !== null) throw withoutCommand(error);
      if (!Array.isArray(reply)) throw new SyncError('REDIS_REPLY', 'session_move: found no list');
      if (reply[0] === 1) this.#countMove((moves[i] as Move).to);
      else this.#counts.changed += 1;
    }
    return true;
  }

  #countMove(to: string): void {
    this.#counts.moved += 1;
    this.#counts.targets.set(to, (this.#counts.targets.get(to) ?? 0) + 1);
  }

  /** Waits for the next batch's turn, as the rate has it. */
  #turn(): Promise<void> {
    const { runtime } = this.#parts;
    return sleep(runtime, Math.max(0, this.#nextMs - runtime.monotonicMs()), this.#options.signal);
  }

  async #readTables(watch?: 'WATCH'): Promise<void> {
    const { redis, names } = this.#parts;
    const keys = [`${names}backends`, `${names}backend-ids`] as const;
    // Sent, and carried out, in this order.
    const watched = watch === undefined ? undefined : redis.watch(...keys);
    const read = keys.map((key) => redis.callBuffer('HGETALL', key) as Promise<Buffer[]>);
    const [[table = [], ids = []]] = await Promise.all([Promise.all(read), watched]);
    const tables = [...table, ...ids];
    if (sameBytes(tables, this.#tables)) return;
    this.#tables = tables;
    const { backends, faults } = parseBackends(table, ids, new Map());
    this.#answers = new PresentAnswers(backends);
    this.#known = backends.map(({ name }) => name);
    this.#fault = faults.find(({ name }) => name === this.#name)?.message;
  }

  #requireBackend(): void {
    const name = this.#name;
    if (this.#known.includes(name)) return;
    if (this.#fault !== undefined) throw failure('BACKEND_REFUSED', { name, reason: this.#fault });
    throw failure('BACKEND_UNKNOWN', { name, names: this.#known });
  }
}

interface Move {
  readonly sid: Buffer;
  readonly to: string;
}

function sameBytes(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  return a.length === b.length && a.every((bytes, i) => bytes.equals(b[i] as Buffer));
}
