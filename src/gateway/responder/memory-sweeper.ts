/**
 * Collects what is dead in the table in memory, some thousand slots at a time with pauses between, and counts the sessions
 * of each backend on the way, as ../kernel/sweeper.ts does in the kernel. May be imported by src/gateway only.
 */
import { Limit } from '../../abi.ts';
import type { Runtime } from '../../sync/runtime.ts';
import type { MemoryTable } from './memory-table.ts';

const STEP_SLOTS = 16_384;
const PAUSE_MS = 25;
/** From the end of one walk to the beginning of the next. */
const REST_MS = 5_000;
/** A clock that is put right by less takes nothing away that matters. */
const CLOCK_BACK_MS = 100;

export class MemorySweeper {
  readonly #table: MemoryTable;
  readonly #runtime: Pick<Runtime, 'timer'>;
  readonly counts = { walks: 0, collected: 0 };
  /** The next part to look at. */
  #at = 0;
  #generation = 0;
  #counting = new Uint32Array(Limit.BACKENDS);
  #counted: Uint32Array<ArrayBuffer> | undefined;
  #cancel: (() => void) | undefined;

  constructor(table: MemoryTable, runtime: Pick<Runtime, 'timer'>) {
    this.#table = table;
    this.#runtime = runtime;
  }

  /** Sessions stored on each backend, by its id, as the last whole walk found them; undefined before one. */
  get backendSessions(): Uint32Array | undefined {
    return this.#counted;
  }

  /**
   * @param now Unix time in ms
   * @param clockWentBack called where the time is earlier than at the last step: what was collected as expired may not be
   */
  start(now: () => number, clockWentBack: () => void): void {
    let latestMs = 0;
    let urgent = false;
    const tick = (): void => {
      const nowMs = now();
      if (nowMs < latestMs - CLOCK_BACK_MS) clockWentBack();
      latestMs = nowMs;
      const end = this.step(nowMs);
      if (end) urgent = false;
      this.#next(urgent ? 0 : end ? REST_MS : PAUSE_MS, tick);
    };
    this.#next(PAUSE_MS, tick);
    this.#table.onFullAtCommit(() => {
      urgent = true;
      this.#at = 0;
      this.#next(0, tick);
    });
  }

  #next(ms: number, tick: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#runtime.timer(ms, tick);
  }

  stop(): void {
    this.#table.onFullAtCommit(() => undefined);
    this.#cancel?.();
  }

  /** Looks at the next parts; true when the walk has reached the end. */
  step(nowMs: number): boolean {
    if (this.#at === 0) {
      this.#generation = this.#table.generation;
      this.#counting.fill(0);
    }
    const counting = this.#counting;
    const count = (id: number): void => {
      counting[id] = (counting[id] as number) + 1;
    };
    for (let seen = 0; seen < STEP_SLOTS && this.#at < this.#table.parts; this.#at += 1) {
      seen += this.#table.slotsOf(this.#at);
      this.counts.collected += this.#table.collectSessions(this.#at, nowMs, count);
    }
    if (this.#at < this.#table.parts) return false;
    this.#at = 0;
    this.#table.collectOthers(nowMs);
    this.#table.swept(this.#generation);
    [this.#counted, this.#counting] = [counting, this.#counted ?? new Uint32Array(Limit.BACKENDS)];
    this.counts.walks += 1;
    return true;
  }
}
