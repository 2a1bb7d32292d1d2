/**
 * The file from which servers in user space have what they know (bench/userspace/state.h): written for the benchmarks and their tests, and read
 * by the model's server. May be imported by bench and its tests only.
 */
import * as fs from 'node:fs';
import { Limit } from '../../src/abi.ts';
import { Key } from '../../src/auth/keyring.ts';
import type { Ring } from '../../src/auth/placement.ts';
import type { ResponderTables } from '../../src/auth/responder-tables.ts';
import type { Suite } from '../../src/auth/suites.ts';
import type { Backend } from '../../src/sync/table.ts';
import { type BenchKey, ringOf } from '../traffic/world.ts';

const MAGIC = 0x3165746174736762n;
const HEADER_BYTES = 64;
const KEY_BYTES = 80;
const BACKEND_BYTES = 32;
const SESSION_BYTES = 40;
const SESSIONS_PER_WRITE = 50_000;
const FOREVER = 2n ** 64n - 1n;
const SUITE_NUMBERS: Record<Suite, number> = { 'hmac-sha256': 1, blake2s: 2 };

export interface StateSettings {
  readonly maxSkewMs: number;
  /** Requests outside the skew that are looked at, a second and thread. */
  readonly skewBudget: number;
  readonly staleAfterMs: number;
  /** Unix ms; 0 = never. */
  readonly inStepMs: number;
}

export interface StateSession {
  /** 16 bytes, as hex; what follows is ignored. */
  readonly hash: string;
  readonly version: bigint;
  /** Unix ms; 0 = never. */
  readonly expiresMs: number;
  readonly backendId: number;
}

export interface State {
  readonly settings: StateSettings;
  readonly keys: readonly BenchKey[];
  readonly backends: readonly Backend[];
  readonly sessionCount: number;
  readonly session: (i: number) => StateSession;
}

export function writeState(path: string, state: State): void {
  const file = fs.openSync(path, 'w', 0o600);
  try {
    fs.writeSync(file, header(state));
    for (const key of state.keys) fs.writeSync(file, keyRecord(key));
    for (const backend of state.backends) fs.writeSync(file, backendRecord(backend));
    const ring = ringOf(state.backends);
    for (const slots of [ring.placed, ring.moved])
      fs.writeSync(file, new Uint8Array(slots.buffer, slots.byteOffset, slots.byteLength));
    writeSessions(file, state);
  } finally {
    fs.closeSync(file);
  }
}

function header({ settings, keys, backends, sessionCount }: State): Buffer {
  const words = [
    MAGIC,
    settings.maxSkewMs,
    settings.skewBudget,
    settings.staleAfterMs,
    settings.inStepMs,
    keys.length,
    backends.length,
    sessionCount,
  ];
  return Buffer.from(BigUint64Array.from(words, BigInt).buffer);
}

function keyRecord({ key, secret }: BenchKey): Buffer {
  const record = Buffer.alloc(KEY_BYTES);
  record.writeBigUInt64LE(BigInt(key.notBeforeMs ?? 0), 0);
  record.writeBigUInt64LE(key.notAfterMs === null ? FOREVER : BigInt(key.notAfterMs), 8);
  record.writeUInt32LE(key.id, 16);
  record.writeUInt32LE(SUITE_NUMBERS[key.suite], 20);
  record.writeUInt32LE(key.encrypt ? 1 : 0, 24);
  record.set(key.guardKey, 32);
  record.set(secret, 48);
  return record;
}

function backendRecord({ address, id, port, state, shed }: Backend): Buffer {
  const record = Buffer.alloc(BACKEND_BYTES);
  record.set(address, 0);
  record.writeUInt32LE(id, 16);
  record.writeUInt16LE(port, 20);
  record.writeUInt16LE(state === 'active' ? 1 : 0, 22);
  record.writeUInt32LE(shed, 24);
  record.writeUInt32LE(1, 28);
  return record;
}

function writeSessions(file: number, { sessionCount, session }: State): void {
  const records = Buffer.alloc(SESSIONS_PER_WRITE * SESSION_BYTES);
  for (let first = 0; first < sessionCount; first += SESSIONS_PER_WRITE) {
    const count = Math.min(SESSIONS_PER_WRITE, sessionCount - first);
    for (let i = 0; i < count; i++) {
      const at = i * SESSION_BYTES;
      const { hash, version, expiresMs, backendId } = session(first + i);
      records.write(hash, at, 16, 'hex');
      records.writeBigUInt64LE(version, at + 16);
      records.writeBigUInt64LE(BigInt(expiresMs), at + 24);
      records.writeBigUInt64LE(BigInt(backendId), at + 32);
    }
    fs.writeSync(file, records, 0, count * SESSION_BYTES);
  }
}

/** The tables of src/auth/respond.ts, from such a file; its monotonic clock is Unix time. */
export function readTables(path: string): ResponderTables {
  const file = fs.readFileSync(path);
  const word = (at: number): number => Number(file.readBigUInt64LE(at));
  const [keyCount, backendCount, sessionCount] = [word(40), word(48), word(56)];
  let at = HEADER_BYTES;
  const keys = new Map<number, Key>();
  for (let i = 0; i < keyCount; i++, at += KEY_BYTES) {
    const key = readKey(file, at);
    keys.set(key.id, key);
  }
  const backends = new Map<number, ReturnType<typeof readBackend>>();
  for (let i = 0; i < backendCount; i++, at += BACKEND_BYTES)
    backends.set(file.readUInt32LE(at + 16), readBackend(file, at));
  const ring: Ring = { placed: readSlots(file, at), moved: readSlots(file, at + 2 * Limit.RING_SLOTS) };
  at += 4 * Limit.RING_SLOTS;
  const sessions = new Map<string, number>();
  for (let i = 0; i < sessionCount; i++, at += SESSION_BYTES) sessions.set(file.toString('latin1', at, at + 16), at);
  const settings = {
    clockOffsetMs: 0,
    inStepMs: word(32),
    staleAfterMs: word(24),
    maxSkewMs: word(8),
    generation: 0,
    ready: true,
  };
  let budget = { second: 0, left: 0 };
  return {
    settings,
    allows: () => true,
    key: (id) => keys.get(id),
    session(hash) {
      const found = sessions.get(Buffer.from(hash.buffer, hash.byteOffset, 16).toString('latin1'));
      if (found === undefined) return undefined;
      return {
        version: file.readBigUInt64LE(found + 16),
        expiresMs: word(found + 24),
        generation: 0,
        backendId: word(found + 32),
      };
    },
    backend: (id) => backends.get(id),
    ring: () => ring,
    denied: () => 0,
    fact: () => undefined,
    spendSkewBudget(nowMs) {
      const second = Math.floor(nowMs / 1000);
      if (budget.second !== second) budget = { second, left: word(16) };
      return budget.left-- > 0;
    },
  };
}

function readKey(file: Buffer, at: number): Key {
  const notAfter = file.readBigUInt64LE(at + 8);
  const fields = {
    id: file.readUInt32LE(at + 16),
    name: `key-${file.readUInt32LE(at + 16)}`,
    suite: file.readUInt32LE(at + 20) === 2 ? ('blake2s' as const) : ('hmac-sha256' as const),
    encrypt: file.readUInt32LE(at + 24) === 1,
    notBeforeMs: Number(file.readBigUInt64LE(at)),
    notAfterMs: notAfter === FOREVER ? null : Number(notAfter),
  };
  return new Key(fields, file.subarray(at + 48, at + 80));
}

function readBackend(file: Buffer, at: number) {
  return {
    address: Uint8Array.from(file.subarray(at, at + 16)),
    port: file.readUInt16LE(at + 20),
    known: true,
    active: file.readUInt16LE(at + 22) === 1,
    shed: file.readUInt32LE(at + 24),
  };
}

function readSlots(file: Buffer, at: number): Uint16Array {
  return Uint16Array.from({ length: Limit.RING_SLOTS }, (_, i) => file.readUInt16LE(at + 2 * i));
}
