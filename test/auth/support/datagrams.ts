/** Requests and replies for tests. */
import { Status } from '../../../src/abi.ts';
import { NEVER } from '../../../src/auth/header.ts';
import type { AuthenticRequest } from '../../../src/auth/reply.ts';
import type { SentRequest } from '../../../src/auth/request.ts';
import { bytes } from './vectors.ts';

export const NONCE = bytes('0102030405060708');
export const HASH = bytes('000102030405060708090a0b0c0d0e0f');
export const TIME_MS = 1_800_000_000_000;

/** What the gateway has of a request once it has found it authentic. */
export function authenticOf(sent: SentRequest): AuthenticRequest {
  const { type, count, encrypted, replyKey } = sent;
  const keyId = new DataView(sent.bytes.buffer).getUint32(4);
  return { type, keyId, nonce: sent.bytes.slice(16, 24), count, encrypted, replyKey };
}

/** A datagram with bits of one byte changed. */
export function flipped(datagram: Uint8Array, at: number, bits: number): Uint8Array {
  const copy = datagram.slice();
  copy[at] = (copy[at] as number) ^ bits;
  return copy;
}

export const LOOKUP_ANSWER = {
  timeMs: TIME_MS,
  status: Status.FOUND,
  flags: 0,
  port: 80,
  backendId: 7,
  address: bytes('00000000000000000000ffff0a00000b'),
  version: 5n,
  ttlS: NEVER,
  ageMs: 12,
};
