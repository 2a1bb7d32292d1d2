/** Keys for tests. */
import { Key, type KeyFields } from '../../../src/auth/keyring.ts';

export const SECRET_HEX = 'c0ffee11deadbeef00112233445566778899aabbccddeeff0f1e2d3c4b5a6978';
export const SECRET = Uint8Array.from(Buffer.from(SECRET_HEX, 'hex'));

/** A key with this secret, hmac-sha256, in the clear, always valid, but for `fields`. */
export function makeKey(fields: Partial<KeyFields> = {}, secret: Uint8Array = SECRET): Key {
  const id = fields.id ?? 1;
  const defaults = { id, name: `key-${id}`, suite: 'hmac-sha256', encrypt: false } as const;
  return new Key({ ...defaults, notBeforeMs: null, notAfterMs: null, ...fields }, secret);
}

/** Every form in which bytes could be printed: hex, base64, decimal lists, as runs of eight bytes. */
export function showsSecret(text: string, secret: Uint8Array): boolean {
  const haystack = text.toLowerCase().replaceAll(/\s/g, '');
  for (let at = 0; at + 8 <= secret.length; at++) {
    const run = secret.subarray(at, at + 8);
    const hex = Buffer.from(run).toString('hex');
    if (haystack.includes(hex) || haystack.includes([...run].join(','))) return true;
  }
  return text.includes(Buffer.from(secret).toString('base64').slice(0, 16));
}
