/** How long answers took in the kernel of late, from counters in buckets that only grow (`latency` of the status). Pure. */

/** Seconds that are looked back. */
export const LOOKED_BACK = 60;
/** Buckets are quarters of a power of two, from the first one on, which goes from 0 (`enum latency_scale` of bpf/abi.h). */
const FIRST_BOUND = 64;
const PARTS = 4;

/** Of all statuses together: the upper bound of each bucket, ns, and how many are in it. A batch is no single answer, and left out. */
export function merged({ byStatus }) {
  const counts = new Map();
  for (const [status, { buckets }] of Object.entries(byStatus)) {
    if (status === 'BATCH') continue;
    for (const [bound, count] of buckets) {
      const key = bound ?? Number.POSITIVE_INFINITY;
      counts.set(key, (counts.get(key) ?? 0) + count);
    }
  }
  return counts;
}

/** @returns sorted by bound; null where the counters were made anew */
export function difference(before, after) {
  const grown = [];
  for (const [bound, count] of after) {
    const more = count - (before.get(bound) ?? 0);
    if (more < 0) return null;
    if (more > 0) grown.push([bound, more]);
  }
  return grown.sort(([a], [b]) => a - b);
}

function lowerBound(bound) {
  if (bound <= FIRST_BOUND) return 0;
  return bound - 2 ** Math.floor(Math.log2(bound - 1)) / PARTS;
}

/** @param buckets as `difference` gives them. @param share 0 to 1. @returns ns; null where nothing was timed */
export function quantile(buckets, share) {
  const rank = share * buckets.reduce((sum, [, count]) => sum + count, 0);
  let before = 0;
  for (const [bound, count] of buckets) {
    if (before + count >= rank) {
      // Longer than all bounds: at least as long as the last one.
      if (bound === Number.POSITIVE_INFINITY) return buckets.at(-2)?.[0] ?? null;
      const low = lowerBound(bound);
      return low + ((bound - low) * (rank - before)) / count;
    }
    before += count;
  }
  return null;
}

/** The last readings, of which two give the time between. */
export class Latencies {
  #readings = [];

  add(latency) {
    const counts = merged(latency);
    const last = this.#readings.at(-1);
    if (last !== undefined && difference(last, counts) === null) this.#readings = [];
    this.#readings.push(counts);
    if (this.#readings.length > LOOKED_BACK + 1) this.#readings.shift();
  }

  /** @returns buckets as `difference` gives them, and median and high, ns, which are null where nothing was timed */
  recent() {
    const [before, after] = [this.#readings[0], this.#readings.at(-1)];
    const buckets = before === undefined ? [] : (difference(before, after) ?? []);
    return { buckets, median: quantile(buckets, 0.5), high: quantile(buckets, 0.99) };
  }
}
