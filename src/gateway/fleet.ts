/**
 * The fleet: what the gateways of one Redis say of themselves to each other, so that a page that is open on one of them shows
 * all. May be imported by src/gateway only.
 *
 *     hash NAMES + "fleet": id of the gateway → JSON of how it is, written anew every 2 s
 *
 * Nothing is decided by it: what a gateway answers comes from the tables alone. A gateway that says nothing new is shown as silent,
 * and forgotten ten minutes after it was last heard, by the clock of whoever reads. Others' entries are read only while somebody watches.
 */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Cluster, Redis } from 'ioredis';
import { z } from 'zod';
import type { Runtime } from '../sync/runtime.ts';
import { reasonOf } from './errors.ts';
import type { Logger } from './log.ts';
import { packetCounts } from './packet-counts.ts';
import type { FleetMember, FleetSighting, FleetView, Status } from './ports.ts';

/** Gateways that are shown. */
export const FLEET_MAX = 64;
export const BEAT_MS = 2_000;
/** After a refusal by Redis, which a next try would only repeat. */
const REFUSED_PAUSE_MS = 60_000;
const FORGET_MS = 10 * 60_000;
/** How long after the last look the others are still read. */
const WATCHED_MS = 10_000;
/** The others are read once in so many beats all the same, so that those which are forgotten go. */
const TIDY_BEATS = 30;
/** A hash with more entries than this isn't read, and an entry that is longer is left out. */
const ENTRIES_MAX = 256;
const ENTRY_MAX_BYTES = 2_048;
const ID_BYTES = 6;

const label = z.string().max(255);
const count = z.number().int().nonnegative();
const entrySchema = z.object({
  name: label,
  version: label,
  startedAt: label,
  ready: z.boolean(),
  state: z.enum(['connecting', 'loading', 'following', 'resyncing']),
  sessions: count,
  capacity: count,
  ageMs: z.number().nonnegative().nullable(),
  lagEntries: count.nullable(),
  answersPerSecond: z.number().nonnegative().nullable(),
  hitRatio: z.number().min(0).max(1).nullable(),
  /** The writer's clock, Unix ms: another number is another beat. */
  atMs: count,
});
type Entry = z.output<typeof entrySchema>;

export interface FleetParts {
  /** Prefix of the tables. */
  readonly names: string;
  /** Whether this gateway writes an entry of its own. */
  readonly announce: boolean;
  /** What tells this machine from another of the same name; '' = nothing does. */
  readonly machineId: string;
  /** What tells this gateway from another on the same machine. */
  readonly pins: string;
  readonly use: <T>(action: (redis: Redis | Cluster) => Promise<T>) => Promise<T>;
  readonly status: () => Status;
  readonly runtime: Runtime;
  readonly log: Logger;
}

/** When a gateway was heard of here. */
interface Heard {
  /** The writer's clock at its present beat, Unix ms. */
  readonly atMs: number;
  /** Since when it has said nothing new, monotonic ms; of one that was there before it is an estimate. */
  readonly sinceMs: number;
  /** When that beat was first seen here, monotonic ms. */
  readonly seenMs: number;
  /** How far the writer's clock is ahead of this one's, ms, but for a beat's age; null before a beat was seen to come. */
  readonly clockAheadMs: number | null;
}

type Rates = Pick<FleetMember, 'answersPerSecond' | 'hitRatio'>;
type Counts = ReturnType<typeof packetCounts>;

export class Fleet {
  readonly #parts: FleetParts;
  readonly #key: string;
  readonly #id: string;
  readonly #name = hostname();
  /** The others, as last read. */
  #others: ReadonlyMap<string, Entry> = new Map();
  /** Of each one that is in Redis. */
  readonly #heard = new Map<string, Heard>();
  #problem: string | null = null;
  #watchedMs = Number.NEGATIVE_INFINITY;
  #beats = 0;
  #counted: { readonly packets: Counts; readonly atMs: number } | undefined;
  #rates: Rates = { answersPerSecond: null, hitRatio: null };
  #cancel: (() => void) | undefined;

  constructor(parts: FleetParts) {
    this.#parts = parts;
    this.#key = `${parts.names}fleet`;
    this.#id = hash('sha256', `${this.#name}\0${parts.machineId}\0${parts.pins}`, 'buffer').toString(
      'hex',
      0,
      ID_BYTES,
    );
  }

  start(): void {
    this.#cancel = this.#parts.runtime.timer(0, () => this.#round());
  }

  /** A beat that is under way ends with the connection. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** What is known now. While it is asked for, the others are read every 2 s. */
  view(): FleetView {
    const nowMs = this.#parts.runtime.monotonicMs();
    this.#watchedMs = nowMs;
    const others = [...this.#others].map(([id, { atMs: _, ...member }]): FleetSighting => {
      const { sinceMs = nowMs, clockAheadMs = null } = this.#heard.get(id) ?? {};
      return { id, ...member, silentMs: nowMs - sinceMs, clockAheadMs };
    });
    const self: FleetSighting = { ...this.#self(), silentMs: 0, clockAheadMs: 0 };
    const members = [self, ...others.slice(0, FLEET_MAX - 1)].sort(byName);
    return { self: this.#id, members, problem: this.#problem };
  }

  /** Never two at a time, and the pause is between them. */
  #round(): void {
    void this.#beat().then((pauseMs) => {
      // Stopped meanwhile, it has nothing to cancel.
      if (this.#cancel !== undefined) this.#cancel = this.#parts.runtime.timer(pauseMs, () => this.#round());
    });
  }

  /** @returns how long to wait for the next, ms */
  async #beat(): Promise<number> {
    const { announce, use, runtime } = this.#parts;
    const isTidied = announce && this.#beats++ % TIDY_BEATS === 0;
    const isWatched = runtime.monotonicMs() - this.#watchedMs < WATCHED_MS;
    try {
      this.#measure();
      if (!announce && !isWatched) return BEAT_MS;
      this.#problem = await use(async (redis) => {
        if (announce) await this.#announce(redis);
        return isWatched || isTidied ? await this.#readBounded(redis) : null;
      });
      if (this.#problem !== null) this.#others = new Map();
      return BEAT_MS;
    } catch (error) {
      const reason = reasonOf(error);
      // Also by a replica, whose master the configuration doesn't name.
      const isRefused = reason.includes('NOPERM') || reason.includes('READONLY');
      // That Redis is away the sync says.
      if (isRefused && this.#problem === null) {
        this.#parts.log.warn(
          { reason },
          'Redis refuses what the gateways tell each other: the console shows this one alone',
        );
      }
      this.#problem = reason;
      this.#others = new Map();
      return isRefused ? REFUSED_PAUSE_MS : BEAT_MS;
    }
  }

  async #announce(redis: Redis | Cluster): Promise<void> {
    const { id, ...member } = this.#self();
    await redis.hset(this.#key, id, JSON.stringify({ ...member, atMs: this.#parts.runtime.wallMs() }));
    // Of a fleet that is gone nothing stays.
    await redis.pexpire(this.#key, FORGET_MS);
  }

  /** @returns why it isn't read; nothing that Redis did wrong, for which `use` would give up the connection */
  async #readBounded(redis: Redis | Cluster): Promise<string | null> {
    const entries = await redis.hlen(this.#key);
    if (entries > ENTRIES_MAX)
      return `${this.#key}: found ${entries} entries, allowed: at most ${ENTRIES_MAX}; delete it`;
    await this.#read(redis);
    return null;
  }

  async #read(redis: Redis | Cluster): Promise<void> {
    const { announce, runtime } = this.#parts;
    const found = new Map<string, Entry>();
    const forgotten: string[] = [];
    // Anyone who writes to Redis may have put anything there: what is too long isn't fetched.
    const ids = await redis.hkeys(this.#key);
    const lengths = await Promise.all(ids.map((id) => redis.hstrlen(this.#key, id)));
    const short = ids.filter((_, i) => (lengths[i] ?? 0) <= ENTRY_MAX_BYTES);
    const texts = short.length === 0 ? [] : await redis.hmget(this.#key, ...short);
    const textOf = new Map(short.map((id, i) => [id, texts[i] ?? '']));
    for (const id of ids) {
      const entry = parseEntry(textOf.get(id) ?? '');
      if (entry === undefined) forgotten.push(id);
      else if (id !== this.#id) found.set(id, entry);
    }
    this.#hear(found);
    const nowMs = runtime.monotonicMs();
    for (const id of found.keys()) {
      if (nowMs - (this.#heard.get(id)?.seenMs ?? nowMs) < FORGET_MS) continue;
      forgotten.push(id);
      found.delete(id);
    }
    if (announce && forgotten.length > 0) await redis.hdel(this.#key, ...forgotten);
    this.#others = found;
  }

  /** Clocks of two machines differ, so silence is measured by this one's own, but for a beat that was there before. */
  #hear(found: ReadonlyMap<string, Entry>): void {
    const { runtime } = this.#parts;
    const nowMs = runtime.monotonicMs();
    for (const [id, { atMs }] of found) {
      const heard = this.#heard.get(id);
      if (heard?.atMs === atMs) continue;
      const aheadMs = atMs - runtime.wallMs();
      const isNew = heard === undefined;
      const sinceMs = isNew ? nowMs - Math.max(0, -aheadMs - BEAT_MS) : nowMs;
      this.#heard.set(id, { atMs, sinceMs, seenMs: nowMs, clockAheadMs: isNew ? null : aheadMs });
    }
    for (const id of this.#heard.keys()) if (!found.has(id)) this.#heard.delete(id);
  }

  #self(): FleetMember {
    const { version, startedAt, ready, sessions, capacity, ageMs, sync } = this.#parts.status();
    const { state, lagEntries } = sync;
    const name = this.#name;
    return {
      id: this.#id,
      name,
      version,
      startedAt,
      ready,
      state,
      sessions,
      capacity,
      ageMs,
      lagEntries,
      ...this.#rates,
    };
  }

  #measure(): void {
    const atMs = this.#parts.runtime.monotonicMs();
    const packets = packetCounts(this.#parts.status());
    if (this.#counted !== undefined) {
      this.#rates = ratesOf(this.#counted.packets, packets, (atMs - this.#counted.atMs) / 1000);
    }
    this.#counted = { packets, atMs };
  }
}

/** Over an interval, from counters that only grow; ones that were made anew give none. */
function ratesOf(before: Counts, after: Counts, seconds: number): Rates {
  const grown = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
  const names = Object.keys(after).filter((name) => name.startsWith('REPLY_'));
  if (seconds <= 0 || names.some((name) => grown(name) < 0)) return { answersPerSecond: null, hitRatio: null };
  const answers = names.reduce((sum, name) => sum + grown(name), 0);
  const hits = grown('REPLY_FOUND') + grown('REPLY_MOVED');
  const lookups = hits + grown('REPLY_PLACED') + grown('REPLY_NOT_FOUND');
  return { answersPerSecond: answers / seconds, hitRatio: lookups === 0 ? null : hits / lookups };
}

/** @returns '' where it can't be read, as in a container without one */
export function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim();
  } catch {
    return '';
  }
}

function parseEntry(text: string): Entry | undefined {
  try {
    return entrySchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function byName(a: FleetMember, b: FleetMember): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}
