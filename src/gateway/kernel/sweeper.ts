/**
 * Collects what is dead in the session table: expired, or of an older generation. A walk goes through the
 * whole map in batches with pauses between, since the kernel holds a bucket's lock and this thread runs the
 * feed too. Answers don't depend on it: the program takes a dead record for none.
 */
import { Limit, readSession, sessionKeyLayout, sessionLayout } from '../../abi.ts';
import { mapLookupBatch } from './libbpf.ts';
import type { KernelSessionTable } from './session-table.ts';
import type { Settings } from './settings.ts';

const BATCH = Limit.CHANGES;
/** From the start of one walk to that of the next, at least. */
const WALK_MIN_MS = 5_000;
const PAUSE_MIN_MS = 25;
/** Times what a step took: a walk over a large table takes about 2 % of a core. */
const PAUSE_FACTOR = 50;

export interface SweepCounts {
  walks: number;
  collected: number;
}

export class Sweeper {
  readonly #sessions: number;
  readonly #table: KernelSessionTable;
  readonly #settings: Settings;
  readonly #cursor = new Uint8Array(4);
  readonly #keys = Buffer.alloc(BATCH * sessionKeyLayout.size);
  readonly #values = Buffer.alloc(BATCH * sessionLayout.size);
  readonly #view = new DataView(this.#values.buffer, this.#values.byteOffset, this.#values.length);
  #first = true;
  #timer: NodeJS.Timeout | undefined;
  readonly counts: SweepCounts = { walks: 0, collected: 0 };

  constructor(sessionsFd: number, table: KernelSessionTable, settings: Settings) {
    this.#sessions = sessionsFd;
    this.#table = table;
    this.#settings = settings;
  }

  /** @param now Unix time in ms */
  start(now: () => number): void {
    let walkStartedMs = performance.now();
    const tick = (): void => {
      const startedMs = performance.now();
      const end = this.step(now());
      const endedMs = performance.now();
      let pauseMs = Math.max(PAUSE_MIN_MS, PAUSE_FACTOR * (endedMs - startedMs));
      if (end) {
        pauseMs = Math.max(pauseMs, walkStartedMs + WALK_MIN_MS - endedMs);
        walkStartedMs = endedMs + pauseMs;
      }
      this.#timer = setTimeout(tick, pauseMs);
    };
    this.#timer = setTimeout(tick, PAUSE_MIN_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Looks at the next few thousand elements; true when the walk has reached the map's end. */
  step(nowMs: number): boolean {
    const { count, end } = mapLookupBatch(this.#sessions, this.#cursor, this.#first, this.#keys, this.#values, BATCH);
    const { generation } = this.#settings;
    const now = BigInt(nowMs);
    for (let i = 0; i < count; i++) {
      const session = readSession(this.#view, i * sessionLayout.size);
      if (session.generation < generation || (session.expiresMs !== 0n && session.expiresMs <= now)) {
        const at = i * sessionKeyLayout.size;
        this.#table.collect(this.#keys.toString('hex', at, at + sessionKeyLayout.size), session);
      }
    }
    this.counts.collected += this.#table.flush().removed;
    this.#first = end;
    if (end) this.counts.walks += 1;
    return end;
  }
}
