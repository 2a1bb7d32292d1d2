/** The vectors of test/vectors/protocol-v1.json, typed; made by an independent implementation. */
import { readFileSync } from 'node:fs';
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import type { Status } from '../../../src/abi.ts';
import { cookieHash, factHash } from '../../../src/auth/cookie.ts';
import { Key } from '../../../src/auth/keyring.ts';
import {
  encodeBatchRequest,
  encodeFactRequest,
  encodeLookupRequest,
  type SentRequest,
} from '../../../src/auth/request.ts';
import type { Suite } from '../../../src/auth/suites.ts';

interface VectorKey {
  id: number;
  suite: Suite;
  encrypt: boolean;
  secret: string;
  guard_key: string;
}

interface Common {
  key: VectorKey;
  request_bytes: string;
  reply_key: string;
  reply_bytes: string;
}

export interface LookupVector extends Common {
  kind: 'lookup';
  request: { time_ms: number; nonce: string; session_id: string; cookie_hash: string };
  reply: {
    time_ms: number;
    status: Status;
    flags: number;
    port: number;
    backend_id: number;
    address: string;
    version: string;
    ttl_s: number;
    age_ms: number;
  };
}

export interface FactVector extends Common {
  kind: 'fact';
  request: { time_ms: number; nonce: string; name: string };
  reply: {
    time_ms: number;
    status: Exclude<Status, 4>;
    flags: number;
    value: string;
    version: string;
    age_ms: number;
  };
}

export interface BatchVector extends Common {
  kind: 'batch';
  request: { time_ms: number; nonce: string; session_ids: string[] };
  reply: {
    time_ms: number;
    age_ms: number;
    entries: { status: Status; flags: number; backend_id: number; ttl_s: number; version: string }[];
  };
}

export type Vector = LookupVector | FactVector | BatchVector;

interface SipHashVector {
  key: string;
  message: string;
  out8: string;
  out16: string;
}

const file: { siphash: SipHashVector[]; vectors: Vector[] } = JSON.parse(
  readFileSync(new URL('../../vectors/protocol-v1.json', import.meta.url), 'utf8'),
);

export const sipHashVectors = file.siphash;
export const vectors = file.vectors.map((vector, i): [string, Vector] => [
  `${i}: ${vector.kind}, ${vector.key.suite}${vector.key.encrypt ? ', encrypted' : ''}`,
  vector,
]);

export const hex: (bytes: Uint8Array) => string = bytesToHex;
export const bytes: (hex: string) => Uint8Array = hexToBytes;

export function keyOf({ id, suite, encrypt, secret }: VectorKey): Key {
  return new Key({ id, name: `key-${id}`, suite, encrypt, notBeforeMs: null, notAfterMs: null }, bytes(secret));
}

export function encodeVector(vector: Vector, key: Key): SentRequest {
  const nonce = bytes(vector.request.nonce);
  const timeMs = vector.request.time_ms;
  if (vector.kind === 'lookup') {
    return encodeLookupRequest(key, cookieHash(vector.request.session_id), timeMs, nonce);
  }
  if (vector.kind === 'fact') return encodeFactRequest(key, factHash(vector.request.name), timeMs, nonce);
  const hashes = vector.request.session_ids.map((id) => cookieHash(id));
  return encodeBatchRequest(key, hashes, timeMs, nonce);
}
