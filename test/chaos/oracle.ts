/**
 * Reads what Redis holds and what the kernel holds, each by its own means and none of the gateway's, and counts where they
 * differ: sessions (backend and end) and backends (address and port), both ways.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import {
  ABI_HASH,
  backendLayout,
  Limit,
  readBackend,
  readSession,
  readSettings,
  sessionKeyLayout,
  sessionLayout,
  settingsLayout,
} from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { mapLookup, mapLookupBatch, openPin } from '../../src/gateway/kernel/libbpf.ts';
import { SharedMemory } from '../../src/gateway/kernel/libc.ts';
import { parseAddress } from '../../src/sync/tables/backends.ts';
import { NAMES } from './population.ts';

/** A session that ends this close to the comparison may be in one copy and not in the other. */
const ENDING_MARGIN_MS = 3_000;
const SCAN_COUNT = 1_000;
const BATCH = 4_096;
const SAMPLES_MAX = 5;
const NEVER_MS = Number.POSITIVE_INFINITY;

interface Held {
  readonly backendId: number;
  /** Infinity = never */
  readonly expiresMs: number;
  /** Of the kernel's record: the feed entry or the page's moment that it comes from, and its generation. */
  readonly origin?: string;
}

interface Copy {
  /** Cookie hash → session; those without a known backend, which a lookup does not find, are left out. */
  readonly sessions: ReadonlyMap<string, Held>;
  /** Id → address and port. */
  readonly backends: ReadonlyMap<number, string>;
}

export interface Differences {
  count: number;
  /** Sessions that Redis holds. */
  compared: number;
  /** The first few, in words. */
  samples: string[];
}

/** @param capacity names the maps that are in force */
export async function compare(redis: Redis, pins: string, capacity: number): Promise<Differences> {
  const beganMs = Date.now();
  const inRedis = await readRedis(redis);
  const inKernel = readKernel(join(pins, `maps-${ABI_HASH}-${capacity}`));
  const endedMs = Date.now();
  const isEnding = ({ expiresMs }: Held): boolean =>
    expiresMs > beganMs - ENDING_MARGIN_MS && expiresMs < endedMs + ENDING_MARGIN_MS;
  const differences: Differences = { count: 0, compared: inRedis.sessions.size, samples: [] };
  const note = (what: string, redisHas: string, kernelHas: string): void => {
    differences.count += 1;
    if (differences.samples.length < SAMPLES_MAX)
      differences.samples.push(`${what}: Redis ${redisHas}, kernel ${kernelHas}`);
  };
  for (const [hash, wanted] of inRedis.sessions) {
    if (isEnding(wanted) || wanted.expiresMs < endedMs) continue;
    const found = inKernel.sessions.get(hash);
    if (found?.backendId !== wanted.backendId || found.expiresMs !== wanted.expiresMs)
      note(`session ${hash}`, shown(wanted), shown(found));
  }
  for (const [hash, found] of inKernel.sessions) {
    const isDead = found.expiresMs <= beganMs;
    if (!isDead && !isEnding(found) && !inRedis.sessions.has(hash)) note(`session ${hash}`, 'none', shown(found));
  }
  for (const id of new Set([...inRedis.backends.keys(), ...inKernel.backends.keys()])) {
    const [wanted, found] = [inRedis.backends.get(id) ?? 'none', inKernel.backends.get(id) ?? 'none'];
    if (wanted !== found) note(`backend ${id}`, wanted, found);
  }
  return differences;
}

function shown(held: Held | undefined): string {
  if (held === undefined) return 'none';
  const { backendId, expiresMs, origin } = held;
  return `on ${backendId} until ${expiresMs}${origin === undefined ? '' : ` (${origin})`}`;
}

async function readRedis(redis: Redis): Promise<Copy> {
  const backends = new Map<number, string>();
  const ids = new Map<string, number>();
  for (const [name, json] of Object.entries(await redis.hgetall(NAMES.backends))) {
    const { id, address } = JSON.parse(json) as { id: number; address: string };
    const parsed = parseAddress(address);
    ids.set(name, id);
    backends.set(id, addressKey(parsed.address, parsed.port));
  }
  const sessions = new Map<string, Held>();
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${NAMES.prefix}*`, 'COUNT', SCAN_COUNT);
    cursor = next;
    const pipeline = redis.pipeline();
    for (const key of keys) pipeline.hget(key, 'backend').call('PEXPIRETIME', key);
    const replies = (await pipeline.exec()) ?? [];
    for (const [i, key] of keys.entries()) {
      const id = ids.get(String(replies[2 * i]?.[1]));
      const expires = Number(replies[2 * i + 1]?.[1]);
      if (id === undefined || expires === -2) continue;
      const hash = Buffer.from(cookieHash(key.slice(NAMES.prefix.length))).toString('hex');
      sessions.set(hash, { backendId: id, expiresMs: expires === -1 ? NEVER_MS : expires });
    }
  } while (cursor !== '0');
  return { sessions, backends };
}

function readKernel(directory: string): Copy {
  const settings = withPin(join(directory, 'settings'), (fd) => {
    const view = new DataView(new ArrayBuffer(settingsLayout.size));
    mapLookup(fd, new Uint8Array(4), new Uint8Array(view.buffer));
    return readSettings(view);
  });
  const sessions = withPin(join(directory, 'sessions'), (fd) => readSessions(fd, settings.generation));
  const backends = withPin(join(directory, 'backends'), (fd) => readBackends(fd, settings.backendsHalf));
  return { sessions, backends };
}

function readSessions(fd: number, generation: number): Map<string, Held> {
  const sessions = new Map<string, Held>();
  const cursor = new Uint8Array(4);
  const keys = Buffer.alloc(BATCH * sessionKeyLayout.size);
  const values = Buffer.alloc(BATCH * sessionLayout.size);
  const view = new DataView(values.buffer, values.byteOffset, values.length);
  let first = true;
  let end = false;
  while (!end) {
    const batch = mapLookupBatch(fd, cursor, first, keys, values, BATCH);
    for (let i = 0; i < batch.count; i++) {
      const session = readSession(view, i * sessionLayout.size);
      // What the program takes for none: an older generation, an unknown backend.
      if (session.generation < generation || session.backendId === 0) continue;
      const hash = keys.toString('hex', i * sessionKeyLayout.size, (i + 1) * sessionKeyLayout.size);
      const expiresMs = session.expiresMs === 0n ? NEVER_MS : Number(session.expiresMs);
      const { backendId, version } = session;
      const origin = `of ${version >> 20n}-${version & 0xfffffn}, generation ${session.generation}`;
      sessions.set(hash, { backendId, expiresMs, origin });
    }
    ({ end } = batch);
    first = false;
  }
  return sessions;
}

function readBackends(fd: number, half: number): Map<number, string> {
  const backends = new Map<number, string>();
  const memory = new SharedMemory(fd, 2 * Limit.BACKENDS * backendLayout.size);
  const view = new DataView(memory.buffer);
  for (let id = 1; id < Limit.BACKENDS; id++) {
    const { known, address, port } = readBackend(view, (half * Limit.BACKENDS + id) * backendLayout.size);
    if (known === 1) backends.set(id, addressKey(address, port));
  }
  memory.close();
  return backends;
}

function addressKey(address: Uint8Array, port: number): string {
  return `${Buffer.from(address).toString('hex')}:${port}`;
}

/** @throws Error where nothing is pinned there */
export function withPin<T>(path: string, action: (fd: number) => T): T {
  const fd = openPin(path);
  if (fd === undefined) throw new Error(`nothing is pinned at ${path}`);
  try {
    return action(fd);
  } finally {
    fs.closeSync(fd);
  }
}
