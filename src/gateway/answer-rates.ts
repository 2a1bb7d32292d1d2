/**
 * How often a second lookups are answered with each backend, from counters that only grow. May be imported by src/gateway only.
 */
import { type Runtime, sleep } from '../sync/runtime.ts';

/** Between two readings, at least; asked again sooner, the last rates are given. */
const INTERVAL_MIN_MS = 1_000;
/** An older reading says nothing of now: two new ones are made. */
const INTERVAL_MAX_MS = 60_000;
const FIRST_INTERVAL_MS = 500;

/** @returns the counters of these backends, in their order; null where there are none */
export type ReadAnswers = (ids: readonly number[]) => readonly number[] | null;

interface Reading {
  readonly atMs: number;
  readonly counts: ReadonlyMap<number, number>;
}

export class AnswerRates {
  readonly #read: ReadAnswers;
  readonly #runtime: Runtime;
  #last: Reading | undefined;
  #rates: ReadonlyMap<number, number> = new Map();
  #measuring: Promise<void> | undefined;

  constructor(read: ReadAnswers, runtime: Runtime) {
    this.#read = read;
    this.#runtime = runtime;
  }

  /**
   * Over the time since the last call, of 1 to 60 s; without one, over half a second from now.
   * @param ids of the backends
   * @returns by id; none where it is not known
   */
  async rates(ids: readonly number[]): Promise<ReadonlyMap<number, number>> {
    // Of several who ask at once one measures.
    this.#measuring ??= this.#measure(ids).finally(() => {
      this.#measuring = undefined;
    });
    await this.#measuring;
    return this.#rates;
  }

  async #measure(ids: readonly number[]): Promise<void> {
    const sinceMs = this.#last === undefined ? Number.POSITIVE_INFINITY : this.#runtime.monotonicMs() - this.#last.atMs;
    if (sinceMs < INTERVAL_MIN_MS) return;
    if (sinceMs > INTERVAL_MAX_MS) {
      this.#last = this.#reading(ids);
      if (this.#last === undefined) return;
      await sleep(this.#runtime, FIRST_INTERVAL_MS, new AbortController().signal);
    }
    const before = this.#last;
    const after = this.#reading(ids);
    this.#last = after;
    this.#rates = before === undefined || after === undefined ? new Map() : between(before, after);
  }

  #reading(ids: readonly number[]): Reading | undefined {
    const counts = this.#read(ids);
    if (counts === null) return undefined;
    return { atMs: this.#runtime.monotonicMs(), counts: new Map(ids.map((id, i) => [id, counts[i] ?? 0])) };
  }
}

function between(before: Reading, after: Reading): Map<number, number> {
  const seconds = (after.atMs - before.atMs) / 1000;
  const rates = new Map<number, number>();
  if (seconds <= 0) return rates;
  for (const [id, count] of after.counts) {
    const earlier = before.counts.get(id);
    // Counters that were made anew begin at 0.
    if (earlier !== undefined && count >= earlier) rates.set(id, (count - earlier) / seconds);
  }
  return rates;
}
