/**
 * What callers get: every outcome is a result, told apart by `status`. May be imported by src/client and the floors above.
 */
import { Flag, Status } from '../abi.ts';
import type { BatchAnswer } from '../auth/batch.ts';
import type { FactAnswer } from '../auth/fact.ts';
import { NEVER } from '../auth/header.ts';
import type { LookupAnswer } from '../auth/lookup.ts';
import { addressText } from './address-text.ts';
import type { Outcome, UnreachableReason } from './outcome.ts';
import type { Answer } from './questions.ts';

/** How and where a result came about. */
export interface Origin {
  /** The gateway that answered, host:port as configured; null = none. */
  readonly server: string | null;
  /** How long ago the gateway last knew itself in step with Redis, in ms; null = never, or no gateway answered. */
  readonly ageMs: number | null;
  /** Time that it took, all tries together, in ms, with fractions. */
  readonly elapsedMs: number;
}

/** What a gateway knows of one session. */
export interface Assignment {
  /** Id of the backend, 1 to 65535; null = none. */
  readonly backend: number | null;
  /** The backend is not the stored one, which is draining, shedding or down. */
  readonly moved: boolean;
  /** Nothing is stored; the backend is where every gateway would place this session. Only with NOT_FOUND. */
  readonly placed: boolean;
  /** `ageMs` is over the gateway's limit: the answer may be out of date, and no gateway had a better one. */
  readonly stale: boolean;
  /** The record's version: of two results for one session the higher is newer; 0 = no record. */
  readonly version: bigint;
  /** Seconds until the record expires, rounded up; null = never; 0 = no record. */
  readonly ttlSeconds: number | null;
}

/** Fields of every lookup's result. */
export interface LookupFields extends Origin, Assignment {
  /** The backend's IP address, IPv6 without brackets; null = none, or not known. */
  readonly address: string | null;
  /** The backend's port; null = none, or not known. */
  readonly port: number | null;
}

/** The session has a backend. */
export interface Found extends LookupFields {
  readonly status: 'FOUND';
  readonly backend: number;
  readonly placed: false;
  readonly server: string;
}

/** There is no live record; with `placed` the gateway suggests a backend. */
export interface NotFound extends LookupFields {
  readonly status: 'NOT_FOUND';
  readonly server: string;
}

/** The session is revoked: refuse the user. */
export interface Denied extends LookupFields {
  readonly status: 'DENIED';
  readonly backend: null;
  readonly server: string;
}

/** This machine's clock and the gateway's are further apart than the gateway allows, and no other gateway answered. */
export interface ClockSkew {
  readonly status: 'CLOCK_SKEW';
  readonly server: string;
  /** The gateway's clock minus this machine's, in ms; exact to half of the time that request and reply were under way. */
  readonly skewMs: number;
}

/** Every gateway that answered has yet to finish its first load. */
export interface NotReady {
  readonly status: 'NOT_READY';
  readonly server: string;
}

/** No gateway answered. */
export interface Unreachable {
  readonly status: 'UNREACHABLE';
  readonly server: null;
  /**
   * TIMED_OUT: none in time. REFUSED: none could be asked, nobody listens. BUSY: `maxInFlight` lookups were under way.
   * ABORTED: the caller's signal.
   */
  readonly reason: UnreachableReason;
}

/** The cookie has no session id in it: no gateway was asked. */
export interface NoSession extends LookupFields {
  readonly status: 'NO_SESSION';
  readonly backend: null;
  readonly server: null;
}

/** Why there is no answer, with the fields `F` of an answer, which say that nothing is known. */
export type Unanswered<F extends Origin> = F & (ClockSkew | NotReady | Unreachable);

export type LookupResult = Found | NotFound | Denied | Unanswered<LookupFields & { readonly backend: null }>;

export type CookieLookupResult = LookupResult | NoSession;

export type FactResult = FoundFact | NotFoundFact | Unanswered<FactFields & { readonly value: null }>;

export interface FactFields extends Origin {
  /** 0 to 24 bytes; null = there is no such fact. */
  readonly value: Uint8Array | null;
  /** Of two results for one fact the higher is newer; 0 = no such fact. */
  readonly version: bigint;
  /** As in `Assignment`. */
  readonly stale: boolean;
}

export interface FoundFact extends FactFields {
  readonly status: 'FOUND';
  readonly value: Uint8Array;
  readonly server: string;
}

export interface NotFoundFact extends FactFields {
  readonly status: 'NOT_FOUND';
  readonly value: null;
  readonly server: string;
}

export type BatchResult = AnsweredBatch | Unanswered<BatchFields>;

export interface BatchFields extends Origin {
  /** One for each session id, in their order; none without an answer. */
  readonly entries: readonly BatchEntry[];
}

export interface AnsweredBatch extends BatchFields {
  readonly status: 'ANSWERED';
  readonly server: string;
}

/** A batch carries no addresses: its user knows the backends by id. */
export interface BatchEntry extends Assignment {
  readonly status: 'FOUND' | 'NOT_FOUND' | 'DENIED';
}

const NO_ASSIGNMENT = {
  backend: null,
  moved: false,
  placed: false,
  stale: false,
  version: 0n,
  ttlSeconds: 0,
} as const;

const NO_LOOKUP = { ...NO_ASSIGNMENT, address: null, port: null } as const;
const NO_FACT = { value: null, version: 0n, stale: false } as const;
const NO_BATCH = { entries: [] } as const;

export const NO_SESSION: NoSession = { status: 'NO_SESSION', ...NO_LOOKUP, server: null, ageMs: null, elapsedMs: 0 };

export function lookupResult(outcome: Outcome<LookupAnswer>, elapsedMs: number): LookupResult {
  if (outcome.kind !== 'ANSWER') return { ...NO_LOOKUP, ...unanswered(outcome, elapsedMs) };
  const { answer, server } = outcome;
  const fields = {
    ...assignment(answer),
    address: addressText(answer.address),
    port: answer.port === 0 ? null : answer.port,
    server,
    ageMs: unlessNever(answer.ageMs),
    elapsedMs,
  };
  if (answer.status === Status.FOUND) {
    return { status: 'FOUND', ...fields, backend: answer.backendId, placed: false };
  }
  if (answer.status === Status.DENIED) return { status: 'DENIED', ...fields, backend: null };
  return { status: 'NOT_FOUND', ...fields };
}

export function factResult(outcome: Outcome<FactAnswer>, elapsedMs: number): FactResult {
  if (outcome.kind !== 'ANSWER') return { ...NO_FACT, ...unanswered(outcome, elapsedMs) };
  const { answer, server } = outcome;
  const { version, value } = answer;
  const fields = { version, stale: outcome.isStale, server, ageMs: unlessNever(answer.ageMs), elapsedMs };
  if (answer.status === Status.FOUND) return { status: 'FOUND', ...fields, value };
  return { status: 'NOT_FOUND', ...fields, value: null };
}

export function batchResult(outcome: Outcome<BatchAnswer>, elapsedMs: number): BatchResult {
  if (outcome.kind !== 'ANSWER') return { ...NO_BATCH, ...unanswered(outcome, elapsedMs) };
  const { answer, server } = outcome;
  const entries = answer.entries.map((entry): BatchEntry => {
    const status = entry.status === Status.FOUND ? 'FOUND' : entry.status === Status.DENIED ? 'DENIED' : 'NOT_FOUND';
    return { status, ...assignment(entry) };
  });
  return { status: 'ANSWERED', entries, server, ageMs: unlessNever(answer.ageMs), elapsedMs };
}

function assignment(answer: Pick<LookupAnswer, 'flags' | 'backendId' | 'version' | 'ttlS'>): Assignment {
  return {
    backend: answer.backendId === 0 ? null : answer.backendId,
    moved: (answer.flags & Flag.MOVED) !== 0,
    placed: (answer.flags & Flag.PLACED) !== 0,
    stale: (answer.flags & Flag.STALE) !== 0,
    version: answer.version,
    ttlSeconds: unlessNever(answer.ttlS),
  };
}

function unanswered<A extends Answer>(
  outcome: Exclude<Outcome<A>, { kind: 'ANSWER' }>,
  elapsedMs: number,
): Origin & (ClockSkew | NotReady | Unreachable) {
  if (outcome.kind === 'UNREACHABLE') {
    return { status: 'UNREACHABLE', reason: outcome.reason, server: null, ageMs: null, elapsedMs };
  }
  const origin = { server: outcome.server, ageMs: unlessNever(outcome.answer.ageMs), elapsedMs };
  if (outcome.kind === 'CLOCK_SKEW') return { status: 'CLOCK_SKEW', skewMs: outcome.skewMs, ...origin };
  return { status: 'NOT_READY', ...origin };
}

function unlessNever(value: number): number | null {
  return value === NEVER ? null : value;
}
