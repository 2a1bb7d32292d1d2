/**
 * Sessions whose records follow from version and hash, so that any copy of one can be judged. bpf/lookups.bpf.c has the
 * same formulas.
 */
import { Limit } from '../../../src/abi.ts';

/** Sessions that lookups.bpf.c asks for. */
export const ASKED = 16;
export const PERMANENT = 4;
/** Sessions that are in the table now and then, of which one place is left over for. */
export const PASSING = 8;
/** So few that sessions share buckets, and what is deleted from one is used again in another at once. */
export const CAPACITY = 8;

const EXPIRES_BASE_MS = 4_000_000_000_000;

/** Permanent ones first. 16 bytes, of which the first 4 are the index. */
export function hashOf(index: number): Buffer {
  const hash = Buffer.alloc(16, 0xa0 + index);
  hash.writeUInt32LE(index, 0);
  return hash;
}

export function expiresMs(index: number, version: number): number {
  return EXPIRES_BASE_MS + version * 7 + index;
}

export function backendId(index: number, version: number): number {
  return 1 + ((version * 31 + index) % (Limit.BACKENDS - 1));
}
