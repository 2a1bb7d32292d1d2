/** What the vectors say of replies, as the codecs take it. */
import { sealBatchReply } from '../../../src/auth/batch.ts';
import { sealFactReply } from '../../../src/auth/fact.ts';
import { sealLookupReply } from '../../../src/auth/lookup.ts';
import type { SentRequest } from '../../../src/auth/request.ts';
import { authenticOf } from './datagrams.ts';
import { bytes, type Vector } from './vectors.ts';

/** The reply that a vector describes, sealed for the one who sent this. */
export function sealVector(vector: Vector, sent: SentRequest): Uint8Array {
  const request = authenticOf(sent);
  if (vector.kind === 'batch') {
    const { time_ms, age_ms, entries } = vector.reply;
    return sealBatchReply(request, { timeMs: time_ms, ageMs: age_ms, entries: entries.map(entryOf) });
  }
  if (vector.kind === 'fact') return sealFactReply(request, factOf(vector.reply));
  return sealLookupReply(request, lookupOf(vector.reply));
}

type EntryFields = Extract<Vector, { kind: 'batch' }>['reply']['entries'][number];

export function entryOf({ status, flags, backend_id, ttl_s, version }: EntryFields) {
  return { status, flags, backendId: backend_id, ttlS: ttl_s, version: BigInt(version) };
}

export function factOf({ time_ms, status, flags, value, version, age_ms }: Extract<Vector, { kind: 'fact' }>['reply']) {
  return { timeMs: time_ms, status, flags, value: bytes(value), version: BigInt(version), ageMs: age_ms };
}

export function lookupOf(reply: Extract<Vector, { kind: 'lookup' }>['reply']) {
  const { time_ms, port, address, age_ms } = reply;
  return { timeMs: time_ms, ...entryOf(reply), port, address: bytes(address), ageMs: age_ms };
}
