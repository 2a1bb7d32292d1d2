/**
 * One question's way from the first try to its outcome (docs/protocol.md, "What a client does"). May be imported by
 * src/client.
 *
 *   begin ─▶ ask a gateway ─┬─ fresh answer ──────────────▶ end
 *                ▲          ├─ stale answer: keep the freshest; ask on only where a gateway in good standing is left
 *                │          ├─ NOT_READY, CLOCK_SKEW: keep it; ask on
 *                │          ├─ refused: ask on
 *                ├──────────┼─ silent for tryTimeoutMs: ask on; its reply still counts
 *                │          └─ silent for hedgeAfterMs: ask another as well, once
 *                └─ nobody left to ask, or timeoutMs over ▶ end, with the best that is kept
 *
 * Each gateway is asked at most ROUNDS times, more than once only if it was silent.
 */

import { NEVER } from '../auth/header.ts';
import type { Key } from '../auth/keyring.ts';
import type { ReplyRefusal } from '../auth/reply.ts';
import type { SentRequest } from '../auth/request.ts';
import type { Environment } from './environment.ts';
import type { NonceSource } from './nonces.ts';
import { betterOf, type Kept, type Outcome } from './outcome.ts';
import type { Answer, Question } from './questions.ts';
import { nonceKey, type Server, type WaitingTry } from './server.ts';
import { chooseServer, ROUNDS } from './server-choice.ts';

/** What exchanges share. */
export interface ExchangeContext {
  readonly environment: Environment;
  readonly nonces: NonceSource;
  readonly servers: readonly Server[];
  readonly key: Key;
  readonly timeoutMs: number;
  readonly tryTimeoutMs: number;
  readonly hedgeAfterMs: number | null;
}

export interface ExchangeListener<A extends Answer> {
  hedged(): void;
  ended(outcome: Outcome<A>, elapsedMs: number): void;
  /** The question can't be asked: a mistake of the caller's. */
  threw(error: unknown): void;
}

interface Try extends WaitingTry {
  readonly server: Server;
  readonly key: string;
  readonly request: SentRequest;
  /** Unix time in the request. */
  readonly timeMs: number;
  /** Monotonic, as are all below. */
  readonly askedMs: number;
  state: 'waiting' | 'silent' | 'over';
}

export class Exchange<A extends Answer> {
  readonly #context: ExchangeContext;
  readonly #question: Question<A>;
  readonly #listener: ExchangeListener<A>;
  readonly #first: number;
  readonly #beganMs: number;
  readonly #tries: Try[] = [];
  #kept: Kept<A> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = 0;
  #isHedged = false;
  #isEnded = false;

  /** @param first where in the list of servers to begin */
  constructor(context: ExchangeContext, question: Question<A>, first: number, listener: ExchangeListener<A>) {
    this.#context = context;
    this.#question = question;
    this.#listener = listener;
    this.#first = first;
    this.#beganMs = context.environment.monotonicMs();
  }

  begin(): void {
    this.#advance(this.#beganMs);
  }

  /** Ends it without an answer. */
  abort(): void {
    if (!this.#isEnded) this.#end({ kind: 'UNREACHABLE', reason: 'ABORTED' }, this.#nowMs());
  }

  /** Asks on where nobody's reply is awaited, ends where nobody is left, and sets the timer for what comes next. */
  #advance(nowMs: number): void {
    while (!this.#isEnded && this.#waitingTries() === 0) {
      const server = this.#nextServer(nowMs);
      if (server !== undefined) {
        this.#ask(server, nowMs);
        continue;
      }
      const mayBeAnswered = this.#tries.some(({ state }) => state === 'silent');
      if (mayBeAnswered && !this.#hasStaleAnswer()) break;
      this.#end(this.#kept ?? this.#unreachable(), nowMs);
    }
    if (!this.#isEnded) this.#setTimer(nowMs);
  }

  #ask(server: Server, nowMs: number): void {
    const { environment, key, nonces } = this.#context;
    const timeMs = environment.unixMs();
    let request: SentRequest;
    try {
      request = this.#question.encode(key, timeMs, nonces.next());
    } catch (error) {
      this.#clear();
      this.#listener.threw(error);
      return;
    }
    const asked: Try = {
      server,
      key: nonceKey(request.bytes),
      request,
      timeMs,
      askedMs: nowMs,
      bytes: request.bytes,
      isSent: false,
      state: 'waiting',
      receive: (datagram) => this.#receive(asked, datagram),
      refused: () => this.#refused(asked),
    };
    this.#tries.push(asked);
    if (!server.ask(asked.key, asked, nowMs)) asked.state = 'over';
  }

  #receive(asked: Try, datagram: Uint8Array): ReplyRefusal | null {
    const opened = this.#question.open(asked.request, datagram);
    if (!opened.ok) return opened.reason;
    const answer = opened.reply;
    const nowMs = this.#nowMs();
    const { server } = asked;
    const { label, memory } = server;
    asked.state = 'over';
    const worth = this.#question.worthOf(answer);
    if (worth === 'FRESH') {
      memory.answeredFresh();
      this.#end({ kind: 'ANSWER', answer, isStale: false, server: label }, nowMs, asked);
      return null;
    }
    let next: Kept<A>;
    if (worth === 'STALE') {
      memory.answeredStale(nowMs, answer.ageMs === NEVER ? Number.NEGATIVE_INFINITY : nowMs - answer.ageMs);
      next = { kind: 'ANSWER', answer, isStale: true, server: label };
    } else {
      memory.answeredWithout(nowMs);
      // The gateway read its clock about half-way between.
      const skewMs = Math.round(answer.timeMs - asked.timeMs - (nowMs - asked.askedMs) / 2);
      next = { kind: worth, answer, skewMs, server: label };
    }
    this.#kept = betterOf(this.#kept, next);
    this.#advance(nowMs);
    return null;
  }

  #refused(asked: Try): void {
    asked.state = 'over';
    this.#advance(this.#nowMs());
  }

  #nextServer(nowMs: number): Server | undefined {
    const { servers } = this.#context;
    return chooseServer(servers, this.#first, (server) => this.#timesAsked(server), this.#hasStaleAnswer(), nowMs);
  }

  /** How often it was asked in vain; one that isn't to be asked again counts as `ROUNDS`. */
  #timesAsked(server: Server): number {
    let times = 0;
    for (const asked of this.#tries) {
      if (asked.server !== server) continue;
      if (asked.state !== 'silent') return ROUNDS;
      times += 1;
    }
    return times;
  }

  #setTimer(nowMs: number): void {
    const { environment, timeoutMs, tryTimeoutMs, hedgeAfterMs } = this.#context;
    let dueMs = this.#beganMs + timeoutMs;
    for (const { state, askedMs } of this.#tries) {
      if (state === 'waiting') dueMs = Math.min(dueMs, askedMs + tryTimeoutMs);
    }
    if (hedgeAfterMs !== null && this.#mayHedge()) dueMs = Math.min(dueMs, this.#beganMs + hedgeAfterMs);
    if (this.#timer !== null) {
      if (dueMs === this.#timerDueMs) return;
      environment.clearTimer(this.#timer);
    }
    this.#timerDueMs = dueMs;
    this.#timer = environment.setTimer(
      () => {
        this.#timer = null;
        // After a long turn of the event loop the reply may be there, unread: a time-out must not overtake it.
        environment.afterInput(() => this.#expire(dueMs));
      },
      Math.ceil(Math.max(0, dueMs - nowMs)),
    );
  }

  #expire(dueMs: number): void {
    if (this.#isEnded) return;
    const { timeoutMs, tryTimeoutMs, hedgeAfterMs } = this.#context;
    // Timers may come a part of a millisecond early.
    const nowMs = Math.max(this.#nowMs(), dueMs);
    for (const asked of this.#tries) {
      if (asked.state !== 'waiting' || nowMs < asked.askedMs + tryTimeoutMs) continue;
      asked.state = 'silent';
      asked.server.wasSilent(nowMs);
    }
    if (nowMs >= this.#beganMs + timeoutMs) {
      this.#end(this.#kept ?? this.#unreachable(), nowMs);
      return;
    }
    if (hedgeAfterMs !== null && nowMs >= this.#beganMs + hedgeAfterMs && this.#mayHedge()) this.#hedge(nowMs);
    this.#advance(nowMs);
  }

  /** The first try, and nothing else, is under way. */
  #mayHedge(): boolean {
    return !this.#isHedged && this.#tries.length === 1 && this.#waitingTries() === 1;
  }

  #hedge(nowMs: number): void {
    this.#isHedged = true;
    const other = this.#nextServer(nowMs);
    if (other === undefined || other.memory.standing(nowMs) !== 'good') return;
    this.#listener.hedged();
    this.#ask(other, nowMs);
  }

  /** @param winner the try that brought the answer */
  #end(outcome: Outcome<A>, nowMs: number, winner?: Try): void {
    if (winner !== undefined) {
      for (const { server, state, askedMs } of this.#tries) {
        if (state === 'waiting' && askedMs < winner.askedMs) server.memory.outrun(nowMs);
      }
    }
    this.#clear();
    this.#listener.ended(outcome, nowMs - this.#beganMs);
  }

  #clear(): void {
    this.#isEnded = true;
    if (this.#timer !== null) this.#context.environment.clearTimer(this.#timer);
    this.#timer = null;
    for (const { server, key } of this.#tries) server.forget(key);
  }

  #unreachable(): Outcome<A> {
    return { kind: 'UNREACHABLE', reason: this.#tries.some(({ state }) => state !== 'over') ? 'TIMED_OUT' : 'REFUSED' };
  }

  #hasStaleAnswer(): boolean {
    return this.#kept?.kind === 'ANSWER';
  }

  #waitingTries(): number {
    let waiting = 0;
    for (const { state } of this.#tries) if (state === 'waiting') waiting += 1;
    return waiting;
  }

  #nowMs(): number {
    return this.#context.environment.monotonicMs();
  }
}
