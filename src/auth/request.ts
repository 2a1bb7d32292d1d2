/**
 * Requests of every type, from both ends: a client makes them, a gateway checks guard and tag
 * (docs/protocol.md, "LOOKUP and FACT request", "BATCH"). May be imported by src/auth and the floors above.
 */
import { batchEntryLayout, batchPrefixLayout, lookupRequestLayout, RequestType, Wire } from '../abi.ts';
import { equalBytes, isZero, requireBytes, requireInteger } from './bytes.ts';
import { NAME_HASH_SIZE } from './cookie.ts';
import { GUARD_SIZE, NONCE_SIZE, sizeOf, TAG_SIZE, viewOf, writeHeader } from './header.ts';
import type { Key } from './keyring.ts';
import { sipHash64 } from './siphash.ts';

/** What a client keeps of a request to know its reply. */
export interface SentRequest {
  /** The datagram's payload. */
  readonly bytes: Uint8Array;
  readonly type: RequestType;
  /** Entries of a BATCH; 1 for the other types. */
  readonly count: number;
  /** Whether the reply comes encrypted. */
  readonly encrypted: boolean;
  /** R, 16 bytes: a secret of this one request, made anew for every try. Never to be logged. */
  readonly replyKey: Uint8Array;
}

/**
 * A LOOKUP request, 80 bytes.
 * @param hash the session's cookie hash, 16 bytes
 * @param timeMs Unix time of this try
 * @param nonce 8 random bytes, others for every try
 * @throws TypeError or RangeError for an argument of the wrong type or value
 * @throws AuthError KEY_WIPED
 */
export function encodeLookupRequest(key: Key, hash: Uint8Array, timeMs: number, nonce: Uint8Array): SentRequest {
  return encodeSingle(key, RequestType.LOOKUP, hash, timeMs, nonce);
}

/** A FACT request, 80 bytes: as `encodeLookupRequest`, `hash` being that of the fact's name. */
export function encodeFactRequest(key: Key, hash: Uint8Array, timeMs: number, nonce: Uint8Array): SentRequest {
  return encodeSingle(key, RequestType.FACT, hash, timeMs, nonce);
}

/**
 * A BATCH request, 56 + 16·n bytes: as `encodeLookupRequest`.
 * @param hashes 1 to 64 cookie hashes; the reply's entries come in this order
 */
export function encodeBatchRequest(
  key: Key,
  hashes: readonly Uint8Array[],
  timeMs: number,
  nonce: Uint8Array,
): SentRequest {
  requireInteger('hashes.length', hashes.length, 1, Wire.BATCH_MAX);
  const bytes = new Uint8Array(sizeOf(RequestType.BATCH, hashes.length));
  viewOf(bytes).setUint16(batchPrefixLayout.offset.count, hashes.length);
  for (const [i, hash] of hashes.entries()) {
    requireBytes(`hashes[${i}]`, hash, NAME_HASH_SIZE);
    bytes.set(hash, batchHashAt(i));
  }
  return encode(key, bytes, RequestType.BATCH, hashes.length, timeMs, nonce);
}

function encodeSingle(
  key: Key,
  type: typeof RequestType.LOOKUP | typeof RequestType.FACT,
  hash: Uint8Array,
  timeMs: number,
  nonce: Uint8Array,
): SentRequest {
  requireBytes('hash', hash, NAME_HASH_SIZE);
  const bytes = new Uint8Array(lookupRequestLayout.size);
  bytes.set(hash, lookupRequestLayout.offset.hash);
  return encode(key, bytes, type, 1, timeMs, nonce);
}

function encode(
  key: Key,
  bytes: Uint8Array,
  type: RequestType,
  count: number,
  timeMs: number,
  nonce: Uint8Array,
): SentRequest {
  requireInteger('timeMs', timeMs, 0, Number.MAX_SAFE_INTEGER);
  requireBytes('nonce', nonce, NONCE_SIZE);
  writeHeader(bytes, { type, keyId: key.id, timeMs, nonce });
  const tagAt = requestTagAt(type, count);
  const m = key.prf(bytes.subarray(0, tagAt));
  bytes.set(m.subarray(0, TAG_SIZE), tagAt);
  bytes.set(guardOf(key, bytes, type, tagAt), tagAt + TAG_SIZE);
  return { bytes, type, count, encrypted: key.encrypt, replyKey: m.slice(TAG_SIZE) };
}

/** Number of entries that a BATCH of at least 26 bytes says it has, not checked. */
export function batchCount(datagram: DataView): number {
  return datagram.getUint16(batchPrefixLayout.offset.count);
}

/** Where the i-th cookie hash of a BATCH begins. */
export function batchHashAt(i: number): number {
  return batchPrefixLayout.size + batchEntryLayout.size * i;
}

/** Whether the reserved bytes of a request of the right length are zero. */
export function reservedIsZero(datagram: Uint8Array, type: RequestType): boolean {
  return type === RequestType.BATCH
    ? isZero(datagram, batchPrefixLayout.offset.zero, batchPrefixLayout.size)
    : isZero(datagram, lookupRequestLayout.offset.zero, lookupRequestLayout.size);
}

/** Whether the guard of a request of the right length is right. */
export function guardMatches(key: Key, datagram: Uint8Array, type: RequestType, count: number): boolean {
  const tagAt = requestTagAt(type, count);
  return equalBytes(guardOf(key, datagram, type, tagAt), 0, datagram, tagAt + TAG_SIZE, GUARD_SIZE);
}

/**
 * Checks the tag of a request of the right length.
 * @returns the reply key R, 16 bytes, or undefined where the tag is wrong
 */
export function authenticate(key: Key, datagram: Uint8Array, type: RequestType, count: number): Uint8Array | undefined {
  const tagAt = requestTagAt(type, count);
  const m = key.prf(datagram.subarray(0, tagAt));
  return equalBytes(m, 0, datagram, tagAt, TAG_SIZE) ? m.subarray(TAG_SIZE) : undefined;
}

function requestTagAt(type: RequestType, count: number): number {
  return type === RequestType.BATCH ? batchHashAt(count) : lookupRequestLayout.offset.tag;
}

/** The guard covers bytes 0..56 of a LOOKUP or FACT; of a BATCH bytes 0..32 and the tag, however many entries lie between. */
function guardOf(key: Key, bytes: Uint8Array, type: RequestType, tagAt: number): Uint8Array {
  if (type !== RequestType.BATCH) return sipHash64(key.guardKey, bytes.subarray(0, tagAt + TAG_SIZE));
  const covered = new Uint8Array(batchPrefixLayout.size + TAG_SIZE);
  covered.set(bytes.subarray(0, batchPrefixLayout.size));
  covered.set(bytes.subarray(tagAt, tagAt + TAG_SIZE), batchPrefixLayout.size);
  return sipHash64(key.guardKey, covered);
}
