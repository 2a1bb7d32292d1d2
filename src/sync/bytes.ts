/**
 * Reading of short byte strings without making a string of them, for what is done once for each
 * feed entry. May be imported by src/sync only.
 */
import { COOKIE_HASH_DIGITS } from './limits.ts';

/** Whether the `length` bytes at `start` are the Latin-1 characters of `text`. */
export function isTextAt(bytes: Buffer, start: number, length: number, text: string): boolean {
  if (length !== text.length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** 128 bits in hexadecimal, lower case: a cookie hash. */
export function isCookieHash(bytes: Buffer): boolean {
  if (bytes.length !== COOKIE_HASH_DIGITS) return false;
  for (let i = 0; i < COOKIE_HASH_DIGITS; i++) {
    const byte = bytes[i] as number;
    const isDigit = byte >= 0x30 && byte <= 0x39;
    if (!isDigit && !(byte >= 0x61 && byte <= 0x66)) return false;
  }
  return true;
}

/** No field holds a longer number: 2^64 has 20 digits. */
const DIGITS_MAX = 20;

/** @returns the number that the `length` bytes at `start` write in decimal digits and nothing else (exact up to 2^53), or -1 */
export function parseDecimal(bytes: Buffer, start = 0, length = bytes.length): number {
  if (length === 0 || length > DIGITS_MAX) return -1;
  let value = 0;
  for (let i = start; i < start + length; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
