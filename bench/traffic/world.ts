/**
 * What every server of a benchmark knows: the same sessions, backends and keys, so that all give the same answers. May be
 * imported by bench only.
 */
import { createHash, hash as hashOf, randomBytes } from 'node:crypto';
import { Status } from '../../src/abi.ts';
import { Key } from '../../src/auth/keyring.ts';
import { buildRing, type Ring, slotOf } from '../../src/auth/placement.ts';
import type { Suite } from '../../src/auth/suites.ts';
import type { Backend } from '../../src/sync/table.ts';
import { ipv4 } from '../../test/model/frames.ts';
import type { Expected } from './frames.ts';

export const PORT = 6464;
/** Id of the feed entry that every record comes from. */
export const RECORD_VERSION = { ms: 1_790_000_000_000, seq: 7 } as const;

export interface BenchKey {
  readonly key: Key;
  readonly secret: Uint8Array;
}

export function benchKey(id: number, suite: Suite = 'hmac-sha256', encrypt = false): BenchKey {
  const secret = randomBytes(32);
  const name = `bench-${id}`;
  return { key: new Key({ id, name, suite, encrypt, notBeforeMs: null, notAfterMs: null }, secret), secret };
}

/** Cookie hash of the i-th session, as hex. */
export function sessionHex(i: number): string {
  return hashOf('sha256', `session-${i}`, 'hex');
}

export function sessionHash(i: number): Uint8Array {
  return createHash('sha256').update(`session-${i}`).digest().subarray(0, 16);
}

/** Cookie hash of a session that nobody holds. */
export function missHash(i: number): Uint8Array {
  return createHash('sha256').update(`miss-${i}`).digest().subarray(0, 16);
}

export function backends(count: number): Backend[] {
  return Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    name: `app-${i + 1}`,
    address: ipv4(10, 1 + (i >> 16), (i >> 8) & 255, i & 255),
    port: 8080,
    state: 'active',
    weight: 100,
    shed: 0,
  }));
}

/** Spread over the backends without a pattern that a cache could follow. */
export function backendOf(session: number, backendCount: number): number {
  return 1 + ((Math.imul(session, 0x9e3779b1) >>> 0) % backendCount);
}

export function ringOf(all: readonly Backend[]): Ring {
  return buildRing(all.map(({ id, name, weight, shed }) => ({ id, name, weight, shed, active: true })));
}

/** Sessions in an order without a pattern, as the n-th question asks for them. */
export function askedSession(n: number, sessions: number): number {
  return Math.floor((((Math.imul(n, 0x9e3779b1) >>> 0) / 2 ** 32) * sessions) % sessions);
}

export function hitOf(session: number, backendCount: number): Expected {
  return { status: Status.FOUND, backendId: backendOf(session, backendCount) };
}

/** Nobody's sessions are placed by the ring. */
export function missOf(hash: Uint8Array, ring: Ring): Expected {
  return { status: Status.NOT_FOUND, backendId: ring.placed[slotOf(hash)] as number };
}
