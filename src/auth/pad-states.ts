/**
 * The states that the kernel keeps for a key instead of the secret, so that a request costs only the
 * compressions that depend on it (struct key in bpf/abi.h). May be imported by src/auth and src/gateway.
 *
 * They are read out of @noble/hashes' own SHA-256 and BLAKE2s, through their protected `get()`.
 */
import { _BLAKE2s } from '@noble/hashes/blake2.js';
import { _SHA256 } from '@noble/hashes/sha2.js';
import { requireBytes } from './bytes.ts';
import { SECRET_SIZE } from './suites.ts';

/** Eight unsigned 32-bit words each. As secret as the key itself. */
export interface PadStates {
  inner: number[];
  outer: number[];
}

const BLOCK_SIZE = 64;

class ReadableSha256 extends _SHA256 {
  state(): number[] {
    return this.get().map((word) => word >>> 0);
  }
}

class ReadableBlake2s extends _BLAKE2s {
  state(): number[] {
    return this.get().map((word) => word >>> 0);
  }
}

/**
 * SHA-256 states after the inner and the outer pad of HMAC (RFC 2104, section 4).
 * @param secret 32 bytes
 * @throws TypeError or RangeError for a secret of another type or length
 */
export function hmacPadStates(secret: Uint8Array): PadStates {
  requireBytes('secret', secret, SECRET_SIZE);
  return { inner: stateAfterPad(secret, 0x36), outer: stateAfterPad(secret, 0x5c) };
}

function stateAfterPad(secret: Uint8Array, filler: number): number[] {
  const pad = new Uint8Array(BLOCK_SIZE).fill(filler);
  for (const [i, byte] of secret.entries()) pad[i] = byte ^ filler;
  const hash = new ReadableSha256();
  hash.update(pad);
  const state = hash.state();
  hash.destroy();
  pad.fill(0);
  return state;
}

/**
 * State of keyed BLAKE2s-256 after the block that holds the key (RFC 7693, section 3.3), for a message that isn't empty.
 * @param secret 32 bytes
 * @returns eight unsigned 32-bit words
 * @throws TypeError or RangeError for a secret of another type or length
 */
export function blake2sKeyState(secret: Uint8Array): number[] {
  requireBytes('secret', secret, SECRET_SIZE);
  const hash = new ReadableBlake2s({ key: secret });
  // A block is compressed only once it is known not to be the last: the first byte of a message says so.
  hash.update(new Uint8Array(1));
  const state = hash.state();
  hash.destroy();
  return state;
}
