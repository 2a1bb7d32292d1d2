/**
 * Collects what is dead in the session table: expired, or of an older generation. A walk goes through the
 * whole map in batches with pauses between, since the kernel holds a bucket's lock and this thread runs the
 * feed too. Answers don't depend on it: the program takes a dead record for none.
 */
import { Limit, sessionKeyLayout, sessionLayout } from '../../abi.ts';
import { mapLookupBatch } from './libbpf.ts';
import type { KernelSessionTable } from './session-table.ts';
import type { Settings } from './settings.ts';

const BATCH = Limit.CHANGES;
/** Where a session's words are, counted in words of 4 bytes: one BigInt an element would cost more than the walk itself. */
const WORDS = sessionLayout.size / 4;
const EXPIRES_LOW = sessionLayout.offset.expiresMs / 4;
const EXPIRES_HIGH = EXPIRES_LOW + 1;
const GENERATION = sessionLayout.offset.generation / 4;
/** From the start of one walk to that of the next, at least. */
const WALK_MIN_MS = 5_000;
const PAUSE_MIN_MS = 25;
/** A clock that is put right by less takes nothing away that matters. */
const CLOCK_BACK_MS = 100;
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
  readonly #keys = new Uint8Array(BATCH * sessionKeyLayout.size);
  readonly #values = new Uint32Array(BATCH * WORDS);
  readonly #valueBytes = new Uint8Array(this.#values.buffer);
  #first = true;
  #timer: NodeJS.Timeout | undefined;
  readonly counts: SweepCounts = { walks: 0, collected: 0 };

  constructor(sessionsFd: number, table: KernelSessionTable, settings: Settings) {
    this.#sessions = sessionsFd;
    this.#table = table;
    this.#settings = settings;
  }

  /**
   * @param now Unix time in ms
   * @param clockWentBack called where the time is earlier than at the last step: what was collected as expired may not be
   */
  start(now: () => number, clockWentBack: () => void): void {
    let walkStartedMs = performance.now();
    let latestMs = 0;
    const tick = (): void => {
      const startedMs = performance.now();
      const nowMs = now();
      if (nowMs < latestMs - CLOCK_BACK_MS) clockWentBack();
      latestMs = nowMs;
      const end = this.step(nowMs);
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
    const { count, end } = mapLookupBatch(
      this.#sessions,
      this.#cursor,
      this.#first,
      this.#keys,
      this.#valueBytes,
      BATCH,
    );
    const { generation } = this.#settings;
    const nowLow = nowMs % 2 ** 32;
    const nowHigh = Math.floor(nowMs / 2 ** 32);
    const values = this.#values;
    for (let i = 0; i < count; i++) {
      const at = i * WORDS;
      const low = values[at + EXPIRES_LOW] as number;
      const high = values[at + EXPIRES_HIGH] as number;
      const isEndless = low === 0 && high === 0;
      const isExpired = !isEndless && (high < nowHigh || (high === nowHigh && low <= nowLow));
      if (isExpired || (values[at + GENERATION] as number) < generation) {
        this.#table.collect(this.#keys, i * sessionKeyLayout.size, this.#valueBytes, i * sessionLayout.size);
      }
    }
    this.counts.collected += this.#table.flush().removed;
    this.#first = end;
    if (end) this.counts.walks += 1;
    return end;
  }
}
