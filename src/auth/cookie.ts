/**
 * Names as they travel: the cookie hash of a session id and the hash of a fact's name, each the first
 * 16 bytes of SHA-256 (FIPS 180-4) over the raw bytes (docs/protocol.md, "Names"). May be imported by every floor above.
 */
import { sha256 } from '@noble/hashes/sha2.js';

/** Bytes in a cookie hash and in the hash of a fact's name. */
export const NAME_HASH_SIZE = 16;

const utf8 = new TextEncoder();

/**
 * The cookie hash of a session id: what the application puts in the cookie, after the cookie's own wrapping
 * (URL encoding, `s:` and signature, …) is taken off.
 * @param sessionId text (hashed as UTF-8) or raw bytes
 * @returns 16 bytes
 * @throws TypeError for another type
 * @throws RangeError for text with a lone surrogate, which has no UTF-8 form
 */
export function cookieHash(sessionId: string | Uint8Array): Uint8Array {
  return nameHash('sessionId', sessionId);
}

/** The hash of a fact's name; parameter, result and errors as `cookieHash`. */
export function factHash(name: string | Uint8Array): Uint8Array {
  return nameHash('name', name);
}

function nameHash(field: string, name: string | Uint8Array): Uint8Array {
  if (name instanceof Uint8Array) return sha256(name).slice(0, NAME_HASH_SIZE);
  if (typeof name !== 'string')
    throw new TypeError(`${field}: found ${typeof name}, allowed: a string or a Uint8Array`);
  // TextEncoder would put U+FFFD in its place, and so give two session ids one hash.
  if (!name.isWellFormed()) throw new RangeError(`${field}: found a lone surrogate, allowed: well-formed Unicode`);
  return sha256(utf8.encode(name)).slice(0, NAME_HASH_SIZE);
}
