/**
 * What replies of every type share, from both ends: the header, the tag under the request's own key R, and the
 * encryption (docs/protocol.md, "LOOKUP reply", "Encrypted replies"). May be imported by src/auth and the floors above.
 */
import { batchEntryLayout, batchPrefixLayout, lookupReplyLayout, RequestType, Status, Wire } from '../abi.ts';
import { equalBytes, isZero } from './bytes.ts';
import {
  HEADER_SIZE,
  NONCE_SIZE,
  nonceOf,
  readKeyId,
  readMagic,
  readTimeMs,
  readType,
  readVersion,
  replyType,
  sizeOf,
  TAG_SIZE,
  viewOf,
  writeHeader,
} from './header.ts';
import type { SentRequest } from './request.ts';
import { sipHash128 } from './siphash.ts';

/** The request that a gateway answers; its tag has been found right. */
export interface AuthenticRequest {
  readonly type: RequestType;
  readonly keyId: number;
  /** 8 bytes */
  readonly nonce: Uint8Array;
  /** Entries of a BATCH; 1 for the other types. */
  readonly count: number;
  /** Whether the key's replies are encrypted. */
  readonly encrypted: boolean;
  /** R, 16 bytes */
  readonly replyKey: Uint8Array;
}

/**
 * Why a datagram is not the reply to a request. The first eight: it is not authentic, or not for this request;
 * wait on. `content`: the gateway's, but not a reply that version 1 has (bytes that must be zero outside of the tag included).
 */
export type ReplyRefusal =
  | 'length'
  | 'magic'
  | 'version'
  | 'type'
  | 'key_id'
  | 'nonce'
  | 'reserved'
  | 'tag'
  | 'content';

export type Opened<T> =
  | { readonly ok: true; readonly reply: T }
  | { readonly ok: false; readonly reason: ReplyRefusal };

/** A reply whose tag is right, in the clear. */
export interface Plain {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Gateway's Unix time. */
  readonly timeMs: number;
}

/**
 * Begins a reply: its header, and zeros.
 * @param timeMs gateway's Unix time
 */
export function beginReply(request: AuthenticRequest, timeMs: number): Uint8Array {
  const { type, keyId, nonce, count, encrypted } = request;
  const bytes = new Uint8Array(sizeOf(type, count));
  writeHeader(bytes, { type: replyType(type, encrypted), keyId, timeMs, nonce });
  return bytes;
}

/** Ends a reply in place: makes the tag, and encrypts where the key says so. */
export function sealReply(request: AuthenticRequest, bytes: Uint8Array): Uint8Array {
  const tagAt = replyTagAt(request.type, request.count);
  const tag = sipHash128(request.replyKey, bytes.subarray(0, tagAt));
  bytes.set(tag, tagAt);
  if (request.encrypted) applyKeyStream(request.replyKey, tag, bytes, tagAt);
  return bytes;
}

/**
 * Checks that `datagram` is the reply to `request`, and decrypts it; `datagram` is left as it is. What comes without
 * a secret is checked first, so that a stray datagram costs little.
 */
export function openReply(request: SentRequest, datagram: Uint8Array): Opened<Plain> {
  const { type, count, encrypted, replyKey, bytes: sent } = request;
  if (datagram.length !== sizeOf(type, count)) return refuse('length');
  const bytes = Uint8Array.from(datagram);
  const view = viewOf(bytes);
  if (readMagic(view) !== Wire.MAGIC) return refuse('magic');
  if (readVersion(view) !== Wire.VERSION) return refuse('version');
  if (readType(view) !== replyType(type, encrypted)) return refuse('type');
  if (readKeyId(view) !== readKeyId(viewOf(sent))) return refuse('key_id');
  if (!equalBytes(nonceOf(bytes), 0, nonceOf(sent), 0, NONCE_SIZE)) return refuse('nonce');
  const tagAt = replyTagAt(type, count);
  if (!isZero(bytes, tagAt + TAG_SIZE, bytes.length)) return refuse('reserved');
  if (encrypted) applyKeyStream(replyKey, bytes.subarray(tagAt, tagAt + TAG_SIZE), bytes, tagAt);
  const tag = sipHash128(replyKey, bytes.subarray(0, tagAt));
  if (!equalBytes(tag, 0, bytes, tagAt, TAG_SIZE)) return refuse('tag');
  const timeMs = readTimeMs(view);
  if (!Number.isSafeInteger(timeMs)) return refuse('content');
  return { ok: true, reply: { bytes, view, timeMs } };
}

export function refuse(reason: ReplyRefusal): { readonly ok: false; readonly reason: ReplyRefusal } {
  return { ok: false, reason };
}

/** Whether version 1 has this status. */
export function isStatus(status: number): status is Status {
  return status <= Status.DENIED;
}

function replyTagAt(type: RequestType, count: number): number {
  if (type !== RequestType.BATCH) return lookupReplyLayout.offset.tag;
  return batchPrefixLayout.size + batchEntryLayout.size * count;
}

/** XORs bytes 24..tagAt with S0 ‖ S1 ‖ …, Si = SipHash-2-4 (128 bit) under R of (tag ‖ i, little-endian). */
function applyKeyStream(replyKey: Uint8Array, tag: Uint8Array, bytes: Uint8Array, tagAt: number): void {
  const input = new Uint8Array(TAG_SIZE + 8);
  input.set(tag);
  const counter = viewOf(input);
  for (let from = HEADER_SIZE, i = 0; from < tagAt; from += TAG_SIZE, i++) {
    counter.setUint32(TAG_SIZE, i, true);
    const stream = sipHash128(replyKey, input);
    const end = Math.min(from + TAG_SIZE, tagAt);
    for (let at = from; at < end; at++) bytes[at] = (bytes[at] as number) ^ (stream[at - from] as number);
  }
}
