/**
 * Latencies as a picture for a terminal: one bar for each bucket, buckets doubling.
 */

export interface LatencySummary {
  count: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
}

/** @param latenciesMs at least one */
export function summarize(latenciesMs: readonly number[]): LatencySummary {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(1000 * (sorted[Math.floor(share * (sorted.length - 1))] ?? 0));
  return { count: sorted.length, p50Us: at(0.5), p99Us: at(0.99), p999Us: at(0.999) };
}

const WIDTH = 44;
const BUCKETS_MAX = 12;

/** Lines like `  64 – 128 µs ▇▇▇▇▇▇▇ 4,211`. */
export function histogram(latenciesMs: readonly number[]): string[] {
  const counts = new Map<number, number>();
  for (const ms of latenciesMs) {
    const bucket = Math.floor(Math.log2(Math.max(1, 1000 * ms)));
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  }
  const buckets = [...counts.keys()].sort((a, b) => a - b).slice(0, BUCKETS_MAX);
  const most = Math.max(...counts.values());
  return buckets.map((bucket) => {
    const count = counts.get(bucket) ?? 0;
    const range = `${2 ** bucket} – ${2 ** (bucket + 1)} µs`.padStart(18);
    return `${range}  ${'▇'.repeat(Math.max(1, Math.round((WIDTH * count) / most)))} ${count.toLocaleString('en')}`;
  });
}
