/**
 * The lookup client: which gateways there are, and what callers ask of them (docs/protocol.md, "What a client does").
 * May be imported by src/client and the floors above.
 */
import { Wire } from '../abi.ts';
import { requireInteger } from '../auth/bytes.ts';
import { cookieHash, factHash } from '../auth/cookie.ts';
import { type Environment, realEnvironment } from './environment.ts';
import { Exchange, type ExchangeContext } from './exchange.ts';
import { NonceSource } from './nonces.ts';
import { type LookupClientOptions, type Settings, settingsFrom } from './options.ts';
import type { Outcome } from './outcome.ts';
import { type Answer, batchQuestion, factQuestion, lookupQuestion, type Question } from './questions.ts';
import {
  type BatchResult,
  batchResult,
  type CookieLookupResult,
  type FactResult,
  factResult,
  type LookupResult,
  lookupResult,
  NO_SESSION,
} from './results.ts';
import { Server } from './server.ts';
import type { ServerStats } from './server-stats.ts';
import { sessionIdIn } from './transforms.ts';

export interface CallOptions {
  /** Ends the call early: its result is UNREACHABLE, with the reason ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

export interface ClientStats {
  /** Lookups, batches and facts under way. */
  readonly inFlight: number;
  /** Those that have ended, by the kind of outcome; ANSWER is FOUND, NOT_FOUND, DENIED and every answer to a batch. */
  readonly outcomes: Readonly<Record<Outcome<Answer>['kind'], number>>;
  /** Those that asked a second gateway early. */
  readonly hedged: number;
  /** Whether the key may be used now: gateways are silent to one outside its time. */
  readonly keyValid: boolean;
  /** In the order of the options. */
  readonly servers: readonly ServerStats[];
}

/**
 * Promises are rejected only for mistakes of the caller: a TypeError or RangeError for an argument, or for a call after
 * `close`; an AuthError KEY_WIPED. All that gateways and networks do is a result.
 */
export interface LookupClient {
  /** Where the user of a session belongs. @param sessionId text (as UTF-8) or raw bytes */
  lookup(sessionId: string | Uint8Array, options?: CallOptions): Promise<LookupResult>;
  /** The same from a cookie's value, through `cookieTransform`; NO_SESSION where there is no session id in it. */
  lookupCookie(cookieValue: string | undefined, options?: CallOptions): Promise<CookieLookupResult>;
  /** Many sessions in one request. @param sessionIds 1 to 64 */
  batch(sessionIds: readonly (string | Uint8Array)[], options?: CallOptions): Promise<BatchResult>;
  /** One small value that the whole fleet agrees on. @param name text (as UTF-8) or raw bytes */
  fact(name: string | Uint8Array, options?: CallOptions): Promise<FactResult>;
  /** Counters since creation, and the state of now. */
  stats(): ClientStats;
  /**
   * No call is taken from now on; those under way end as they would have, within `timeoutMs`. Resolves once they have and the
   * sockets are closed. May be called again. A process that does not call it can end all the same.
   */
  close(): Promise<void>;
}

/**
 * A client that keeps one socket for each gateway; make one and share it.
 * @param environment clocks, randomness and sockets, for tests
 * @throws TypeError or RangeError for an option of the wrong type or value
 */
export function createLookupClient(options: LookupClientOptions, environment: Partial<Environment> = {}): LookupClient {
  return new UdpLookupClient(settingsFrom(options), { ...realEnvironment, ...environment });
}

class UdpLookupClient implements LookupClient {
  readonly #settings: Settings;
  readonly #context: ExchangeContext;
  readonly #outcomes = { ANSWER: 0, CLOCK_SKEW: 0, NOT_READY: 0, UNREACHABLE: 0 };
  #turn = 0;
  #inFlight = 0;
  #hedged = 0;
  #closed: PromiseWithResolvers<void> | null = null;

  constructor(settings: Settings, environment: Environment) {
    this.#settings = settings;
    const { key, timeoutMs, tryTimeoutMs, hedgeAfterMs } = settings;
    const servers = settings.servers.map(({ host, port }) => new Server(host, port, environment));
    const nonces = new NonceSource(environment);
    this.#context = { environment, nonces, servers, key, timeoutMs, tryTimeoutMs, hedgeAfterMs };
  }

  async lookup(sessionId: string | Uint8Array, options?: CallOptions): Promise<LookupResult> {
    return this.#ask(lookupQuestion(cookieHash(sessionId)), lookupResult, options);
  }

  async lookupCookie(cookieValue: string | undefined, options?: CallOptions): Promise<CookieLookupResult> {
    if (cookieValue !== undefined && typeof cookieValue !== 'string') {
      throw new TypeError(`cookieValue: found ${typeof cookieValue}, allowed: a string or undefined`);
    }
    this.#requireOpen();
    const sessionId = cookieValue === undefined ? undefined : sessionIdIn(cookieValue, this.#settings.cookieTransform);
    return sessionId === undefined ? NO_SESSION : this.lookup(sessionId, options);
  }

  async batch(sessionIds: readonly (string | Uint8Array)[], options?: CallOptions): Promise<BatchResult> {
    if (!Array.isArray(sessionIds)) throw new TypeError(`sessionIds: found ${typeof sessionIds}, allowed: a list`);
    requireInteger('sessionIds.length', sessionIds.length, 1, Wire.BATCH_MAX);
    const hashes = sessionIds.map((sessionId) => cookieHash(sessionId));
    return this.#ask(batchQuestion(hashes), batchResult, options);
  }

  async fact(name: string | Uint8Array, options?: CallOptions): Promise<FactResult> {
    return this.#ask(factQuestion(factHash(name)), factResult, options);
  }

  stats(): ClientStats {
    const { environment, key, servers } = this.#context;
    const nowMs = environment.monotonicMs();
    return {
      inFlight: this.#inFlight,
      outcomes: { ...this.#outcomes },
      hedged: this.#hedged,
      keyValid: key.validAt(environment.unixMs()),
      servers: servers.map((server) => server.stats(nowMs)),
    };
  }

  close(): Promise<void> {
    if (this.#closed === null) {
      this.#closed = Promise.withResolvers();
      if (this.#inFlight === 0) this.#finish(this.#closed);
    }
    return this.#closed.promise;
  }

  #ask<A extends Answer, R>(
    question: Question<A>,
    resultOf: (outcome: Outcome<A>, elapsedMs: number) => R,
    options: CallOptions | undefined,
  ): Promise<R> {
    this.#requireOpen();
    const signal = signalOf(options);
    if (signal?.aborted) return Promise.resolve(resultOf(this.#counted({ kind: 'UNREACHABLE', reason: 'ABORTED' }), 0));
    if (this.#inFlight >= this.#settings.maxInFlight) {
      return Promise.resolve(resultOf(this.#counted({ kind: 'UNREACHABLE', reason: 'BUSY' }), 0));
    }
    return new Promise((resolve, reject) => {
      const abort = () => exchange.abort();
      const exchange = new Exchange(this.#context, question, this.#nextTurn(), {
        hedged: () => {
          this.#hedged += 1;
        },
        ended: (outcome, elapsedMs) => {
          signal?.removeEventListener('abort', abort);
          resolve(resultOf(this.#counted(outcome), elapsedMs));
          this.#leave();
        },
        threw: (error) => {
          signal?.removeEventListener('abort', abort);
          reject(error);
          this.#leave();
        },
      });
      this.#inFlight += 1;
      signal?.addEventListener('abort', abort);
      exchange.begin();
    });
  }

  /** Where the next lookup begins in the list of servers. */
  #nextTurn(): number {
    if (!this.#settings.spread) return 0;
    const turn = this.#turn;
    this.#turn = (turn + 1) % this.#context.servers.length;
    return turn;
  }

  #counted<O extends Outcome<Answer>>(outcome: O): O {
    this.#outcomes[outcome.kind] += 1;
    return outcome;
  }

  #leave(): void {
    this.#inFlight -= 1;
    if (this.#closed !== null && this.#inFlight === 0) this.#finish(this.#closed);
  }

  #finish(closed: PromiseWithResolvers<void>): void {
    if (this.#settings.ownsKey) this.#settings.key.wipe();
    Promise.all(this.#context.servers.map((server) => server.end())).then(() => closed.resolve(), closed.reject);
  }

  #requireOpen(): void {
    if (this.#closed !== null) throw new TypeError('client: found it closed, allowed: calls before close()');
  }
}

function signalOf(options: CallOptions | undefined): AbortSignal | undefined {
  if (options === undefined) return undefined;
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options: found ${options === null ? 'null' : typeof options}, allowed: an object`);
  }
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`signal: found ${typeof signal}, allowed: an AbortSignal`);
  }
  return signal;
}
