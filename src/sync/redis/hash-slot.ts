/**
 * The slot of a key in a Redis Cluster: CRC-16/XMODEM of the key, or of its hash tag, modulo 16384 (Redis Cluster
 * specification, "Key distribution model" and "Hash tags"). Pure. May be imported by every floor above.
 */

/** Slots of a cluster, numbered from 0. */
export const SLOTS = 16_384;

/** First and last slot, both inclusive. */
export type SlotRange = readonly [number, number];

export const ALL_SLOTS: readonly SlotRange[] = [[0, SLOTS - 1]];

const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** x¹⁶ + x¹² + x⁵ + 1, without its highest term. */
const POLYNOMIAL = 0x1021;

/** CRC of each byte, so that a key costs one step a byte. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
  return crc & 0xffff;
});

/** @returns 0 to 16383 */
export function hashSlot(key: string | Uint8Array): number {
  const bytes = typeof key === 'string' ? Buffer.from(key) : key;
  const open = bytes.indexOf(OPENING_BRACE);
  const close = open < 0 ? -1 : bytes.indexOf(CLOSING_BRACE, open + 1);
  // An empty tag is none.
  const hashed = close > open + 1 ? bytes.subarray(open + 1, close) : bytes;
  let crc = 0;
  for (const byte of hashed) crc = ((crc << 8) & 0xffff) ^ (TABLE[(crc >> 8) ^ byte] ?? 0);
  return crc % SLOTS;
}
