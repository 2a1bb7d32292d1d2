/** One responder, its tables, and a LOOKUP asked of it, for tests. */

import type { Key } from '../../../src/auth/keyring.ts';
import { openLookupReply } from '../../../src/auth/lookup.ts';
import { encodeLookupRequest } from '../../../src/auth/request.ts';
import { respond } from '../../../src/auth/respond.ts';
import type { SessionRecord } from '../../../src/auth/responder-tables.ts';
import { makeKey } from './keys.ts';
import { MONOTONIC_MS, makeTables, SOURCE, type TableOptions } from './tables.ts';
import { bytes, hex } from './vectors.ts';

export const NOW_MS = 1_800_000_000_000;
export const NONCE = bytes('a1a2a3a4a5a6a7a8');
export const HASH = bytes('ff0102030405060708090a0b0c0d0e0f');
export const UNKNOWN = bytes('ee0102030405060708090a0b0c0d0e0f');
export const NOTHING = { port: 0, backendId: 0, address: new Uint8Array(16), version: 0n, ttlS: 0 };
export const BACKEND = {
  address: bytes('20010db8000000000000000000000001'),
  port: 8080,
  known: true,
  active: true,
  shed: 0,
};
export const SESSION: SessionRecord = { version: 77n, expiresMs: NOW_MS + 1500, generation: 3, backendId: 65535 };
export const KEY = makeKey({ id: 9 });

export function tablesWith(options: Partial<TableOptions> = {}) {
  return makeTables({
    keys: [KEY],
    nowMs: NOW_MS,
    sessions: { [hex(HASH)]: SESSION },
    backends: { 65535: BACKEND, 4: { ...BACKEND, known: false } },
    facts: { [hex(HASH)]: { value: bytes('0102'), version: 8n } },
    ...options,
  });
}

export function lookup(options: Partial<TableOptions> = {}, hash = HASH, timeMs = NOW_MS, key: Key = KEY) {
  const sent = encodeLookupRequest(key, hash, timeMs, NONCE);
  const { verdict, reply } = respond(sent.bytes, SOURCE, tablesWith(options), MONOTONIC_MS);
  const opened = reply && openLookupReply(sent, reply);
  return { verdict, reply: opened?.ok ? opened.reply : undefined };
}
