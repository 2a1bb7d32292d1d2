/**
 * The suites: the pseudo-random functions F that a key is used with (docs/protocol.md, "Names").
 * HMAC-SHA-256 (RFC 2104, FIPS 198-1) and keyed BLAKE2s-256 (RFC 7693), by @noble/hashes. May be imported by every floor above.
 */
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { Hash } from '@noble/hashes/utils.js';
import { requireBytes } from './bytes.ts';

export type Suite = 'hmac-sha256' | 'blake2s';

export const SUITES: readonly Suite[] = ['hmac-sha256', 'blake2s'];

/** Bytes in a secret. */
export const SECRET_SIZE = 32;
/** Bytes that F gives. */
export const PRF_SIZE = 32;
/** Bytes in a guard key. */
export const GUARD_KEY_SIZE = 16;

const GUARD_LABEL = new TextEncoder().encode('session-gateway guard v1');

/** F under one secret, with what does not depend on the message computed once. */
export interface Prf {
  /** F(K, message), 32 bytes, in an array of its own. */
  of(message: Uint8Array): Uint8Array;
  /** Zeroes the state that is derived from the secret; `of` must not be called afterwards. */
  wipe(): void;
}

/**
 * @param secret 32 bytes; not kept
 * @throws TypeError or RangeError for a secret of another type or length, or a suite that does not exist
 */
export function createPrf(suite: Suite, secret: Uint8Array): Prf {
  requireBytes('secret', secret, SECRET_SIZE);
  if (suite === 'hmac-sha256') return prfFrom(hmac.create(sha256, secret));
  if (suite === 'blake2s') return prfFrom(blake2s.create({ key: secret, dkLen: PRF_SIZE }));
  throw new RangeError(`suite: allowed: ${SUITES.join(', ')}`);
}

function prfFrom<T extends Hash<T>>(keyed: T): Prf {
  const running = keyed.clone();
  return {
    of(message) {
      const out = new Uint8Array(PRF_SIZE);
      keyed._cloneInto(running).update(message).digestInto(out);
      return out;
    },
    wipe() {
      keyed.destroy();
      running.destroy();
    },
  };
}

/**
 * F(K, message) for a single message.
 * @param secret 32 bytes
 * @returns 32 bytes
 * @throws as `createPrf`
 */
export function prf(suite: Suite, secret: Uint8Array, message: Uint8Array): Uint8Array {
  const keyed = createPrf(suite, secret);
  const out = keyed.of(message);
  keyed.wipe();
  return out;
}

/**
 * The guard key G = F(K, "session-gateway guard v1")[0..16].
 * @param secret 32 bytes
 * @returns 16 bytes
 * @throws as `createPrf`
 */
export function guardKey(suite: Suite, secret: Uint8Array): Uint8Array {
  return prf(suite, secret, GUARD_LABEL).slice(0, GUARD_KEY_SIZE);
}
