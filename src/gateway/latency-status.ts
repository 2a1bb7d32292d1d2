/**
 * Times counted in buckets, as the status shows them: with quantiles, and without empty buckets. May be imported by
 * src/gateway only.
 */
import { LATENCY_BOUNDS_NS, type Latencies, type LatencyPackets } from './kernel/latencies.ts';
import type { LatencyCounts, LatencyStatus } from './ports.ts';

export function latencyStatus(sampledOneIn: number, latencies: Partial<Latencies>): LatencyStatus {
  const shown = Object.entries(latencies).map(([name, packets]) => [name, latencyCounts(packets)]);
  return { sampledOneIn, byStatus: Object.fromEntries(shown) as LatencyStatus['byStatus'] };
}

function latencyCounts({ sumNs, packets }: LatencyPackets): LatencyCounts {
  const count = packets.reduce((sum, inBucket) => sum + inBucket, 0);
  const buckets = packets.flatMap((inBucket, i): [number | null, number][] =>
    inBucket === 0 ? [] : [[LATENCY_BOUNDS_NS[i] ?? null, inBucket]],
  );
  return { count, sumNs, p50Ns: quantileNs(packets, count, 0.5), p99Ns: quantileNs(packets, count, 0.99), buckets };
}

/** Of what took longer than all bounds, the last bound: it took at least so long. */
function quantileNs(packets: readonly number[], count: number, share: number): number | null {
  if (count === 0) return null;
  const rank = share * count;
  let before = 0;
  for (const [i, inBucket] of packets.entries()) {
    if (inBucket > 0 && before + inBucket >= rank) {
      const lowNs = i === 0 ? 0 : (LATENCY_BOUNDS_NS[i - 1] ?? 0);
      const highNs = LATENCY_BOUNDS_NS[i] ?? lowNs;
      return Math.round(lowNs + ((highNs - lowNs) * (rank - before)) / inBucket);
    }
    before += inBucket;
  }
  return null;
}
