/**
 * Checks and comparisons of byte strings. May be imported by src/auth and the floors above.
 */

/**
 * @throws TypeError where `value` is not a Uint8Array
 * @throws RangeError where it does not have `length` bytes
 */
export function requireBytes(field: string, value: Uint8Array, length: number): void {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${field}: found ${typeof value}, allowed: a Uint8Array`);
  if (value.length !== length) throw new RangeError(`${field}: found ${value.length} bytes, allowed: ${length}`);
}

/**
 * @throws TypeError where `value` is not a number
 * @throws RangeError where it is not an integer from `min` to `max`, both included
 */
export function requireInteger(field: string, value: number, min: number, max: number): void {
  if (typeof value !== 'number') throw new TypeError(`${field}: found ${typeof value}, allowed: a number`);
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(`${field}: found ${value}, allowed: an integer from ${min} to ${max}`);
  }
}

/**
 * Whether `length` bytes of `a` from `aAt` are those of `b` from `bAt`. Takes the same time wherever
 * they differ. Bytes beyond the end of an array differ from every byte.
 */
export function equalBytes(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, length: number): boolean {
  if (aAt + length > a.length || bAt + length > b.length) return false;
  let difference = 0;
  for (let i = 0; i < length; i++) difference |= (a[aAt + i] as number) ^ (b[bAt + i] as number);
  return difference === 0;
}

/** Whether the bytes `from..to` (not including `to`) are all zero. */
export function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
