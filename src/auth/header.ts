/**
 * The 24 bytes that every datagram begins with (docs/protocol.md, "Header"), and how long each type is.
 * May be imported by src/auth and the floors above.
 */
import {
  batchEntryLayout,
  batchPrefixLayout,
  lookupReplyLayout,
  lookupRequestLayout,
  RequestType,
  Wire,
  wireHeaderLayout,
} from '../abi.ts';

const at = wireHeaderLayout.offset;

export const HEADER_SIZE = wireHeaderLayout.size;
export const NONCE_SIZE = HEADER_SIZE - at.nonce;
/** Bytes in the tag of a request or a reply. */
export const TAG_SIZE = lookupReplyLayout.size - lookupReplyLayout.offset.tag;
/** Bytes in the guard of a request. */
export const GUARD_SIZE = lookupRequestLayout.offset.zero - lookupRequestLayout.offset.guard;

/** ttl_s of a record that never expires, and age_ms of a gateway that was never in step. */
export const NEVER = 0xffff_ffff;
/** The largest ttl_s and age_ms that mean a time. */
export const LONGEST = 0xffff_fffe;

export interface Header {
  /** As on the wire: of a reply with the reply and perhaps the encrypted bit. */
  readonly type: number;
  readonly keyId: number;
  /** Sender's Unix time. Beyond 2^53 it is rounded. */
  readonly timeMs: number;
  /** 8 bytes */
  readonly nonce: Uint8Array;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes a header at the beginning of `bytes`; the fields have been checked. */
export function writeHeader(bytes: Uint8Array, header: Header): void {
  const view = viewOf(bytes);
  view.setUint16(at.magic, Wire.MAGIC);
  view.setUint8(at.version, Wire.VERSION);
  view.setUint8(at.type, header.type);
  view.setUint32(at.keyId, header.keyId);
  writeTime(view, header.timeMs);
  bytes.set(header.nonce, at.nonce);
}

/** Takes the two halves apart by hand: a BigInt for each datagram would be allocated for nothing. */
function writeTime(view: DataView, timeMs: number): void {
  view.setUint32(at.timeMs, Math.floor(timeMs / 0x1_0000_0000));
  view.setUint32(at.timeMs + 4, timeMs);
}

export function readMagic(view: DataView): number {
  return view.getUint16(at.magic);
}

export function readVersion(view: DataView): number {
  return view.getUint8(at.version);
}

export function readType(view: DataView): number {
  return view.getUint8(at.type);
}

export function readKeyId(view: DataView): number {
  return view.getUint32(at.keyId);
}

export function readTimeMs(view: DataView): number {
  return view.getUint32(at.timeMs) * 0x1_0000_0000 + view.getUint32(at.timeMs + 4);
}

/** The nonce's 8 bytes, as a part of `datagram`. */
export function nonceOf(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(at.nonce, at.nonce + NONCE_SIZE);
}

/** Bytes of a request of this type, and of its reply; `count` is the number of entries of a BATCH. */
export function sizeOf(type: RequestType, count: number): number {
  if (type !== RequestType.BATCH) return lookupRequestLayout.size;
  return batchPrefixLayout.size + batchEntryLayout.size * count + TAG_SIZE + GUARD_SIZE;
}

/** The type byte of the reply to a request of this type. */
export function replyType(type: RequestType, encrypted: boolean): number {
  return type | Wire.REPLY_BIT | (encrypted ? Wire.ENCRYPTED_BIT : 0);
}
