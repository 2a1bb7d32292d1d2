/**
 * The three things that can be asked of a gateway, as an exchange sees them: how a try is written, how its reply is
 * opened, and what the reply is good for. May be imported by src/client.
 */
import { Flag, Status } from '../abi.ts';
import { type BatchAnswer, openBatchReply } from '../auth/batch.ts';
import { type FactAnswer, openFactReply } from '../auth/fact.ts';
import type { Key } from '../auth/keyring.ts';
import { type LookupAnswer, openLookupReply } from '../auth/lookup.ts';
import { type Opened, refuse } from '../auth/reply.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest, type SentRequest } from '../auth/request.ts';

/** What answers of every type have. */
export interface Answer {
  /** Gateway's Unix time. */
  readonly timeMs: number;
  /** How long ago the gateway last knew itself in step with Redis; `NEVER`. */
  readonly ageMs: number;
}

/** `FRESH` ends the exchange; `STALE` may; with the others the gateway says that it has no answer. */
export type Worth = 'FRESH' | 'STALE' | 'CLOCK_SKEW' | 'NOT_READY';

export interface Question<A extends Answer> {
  /** @throws AuthError KEY_WIPED */
  encode(key: Key, timeMs: number, nonce: Uint8Array): SentRequest;
  open(request: SentRequest, datagram: Uint8Array): Opened<A>;
  worthOf(answer: A): Worth;
}

/** @param hash the session's cookie hash, 16 bytes */
export function lookupQuestion(hash: Uint8Array): Question<LookupAnswer> {
  return {
    encode: (key, timeMs, nonce) => encodeLookupRequest(key, hash, timeMs, nonce),
    open(request, datagram) {
      const opened = openLookupReply(request, datagram);
      // What is found is a backend.
      if (opened.ok && opened.reply.status === Status.FOUND && opened.reply.backendId === 0) return refuse('content');
      return opened;
    },
    worthOf: (answer) => worth(answer.status, answer.flags),
  };
}

/** @param hash the hash of the fact's name, 16 bytes */
export function factQuestion(hash: Uint8Array): Question<FactAnswer> {
  return {
    encode: (key, timeMs, nonce) => encodeFactRequest(key, hash, timeMs, nonce),
    open: openFactReply,
    worthOf: (answer) => worth(answer.status, answer.flags),
  };
}

/** @param hashes 1 to 64 cookie hashes */
export function batchQuestion(hashes: readonly Uint8Array[]): Question<BatchAnswer> {
  return {
    encode: (key, timeMs, nonce) => encodeBatchRequest(key, hashes, timeMs, nonce),
    open(request, datagram) {
      const opened = openBatchReply(request, datagram);
      return opened.ok && !isConsistent(opened.reply) ? refuse('content') : opened;
    },
    worthOf(answer) {
      const first = answer.entries[0];
      if (first !== undefined && isWithoutAnswer(first.status)) return worth(first.status, 0);
      return answer.entries.some(({ flags }) => (flags & Flag.STALE) !== 0) ? 'STALE' : 'FRESH';
    },
  };
}

/** With CLOCK_SKEW or NOT_READY every entry has that status; an entry that is FOUND has a backend. */
function isConsistent({ entries }: BatchAnswer): boolean {
  const first = entries[0]?.status;
  return entries.every(({ status, backendId }) => {
    if (status === Status.FOUND && backendId === 0) return false;
    return status === first || (!isWithoutAnswer(status) && first !== undefined && !isWithoutAnswer(first));
  });
}

function isWithoutAnswer(status: Status): status is typeof Status.CLOCK_SKEW | typeof Status.NOT_READY {
  return status === Status.CLOCK_SKEW || status === Status.NOT_READY;
}

function worth(status: Status, flags: number): Worth {
  if (status === Status.CLOCK_SKEW) return 'CLOCK_SKEW';
  if (status === Status.NOT_READY) return 'NOT_READY';
  return (flags & Flag.STALE) === 0 ? 'FRESH' : 'STALE';
}
