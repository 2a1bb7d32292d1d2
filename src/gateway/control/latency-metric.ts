/**
 * How long answers take in the kernel, as Prometheus' histogram: with the counts as they are there, which no histogram of
 * prom-client can be set to. Imported by metrics.ts alone.
 */
import type { Metric, Registry } from 'prom-client';
import { LATENCY_BOUNDS_NS } from '../kernel/latencies.ts';
import type { LatencyCounts, LatencyStatus } from '../ports.ts';

const NAME = 'session_gateway_lookup_duration_seconds';
const HELP =
  "Time in the kernel from a request's arrival to its reply, by status, of a sample of requests; a batch counts once, as BATCH.";
const RATIO_NAME = 'session_gateway_lookup_duration_sample_ratio';
const RATIO_HELP = 'The part of all packets that is timed.';

/** Every second bound of the kernel's: two a doubling, which a series for each status and bound pays for. */
const BOUNDS_NS = LATENCY_BOUNDS_NS.filter((_, i) => i % 2 === 0);

interface Sample {
  readonly metricName?: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}

/** @returns what sets it, to be called before each scrape */
export function registerLatency(registry: Registry): (latency: LatencyStatus) => void {
  let now: LatencyStatus = { sampledOneIn: 0, byStatus: {} as LatencyStatus['byStatus'] };
  register(registry, 'histogram', NAME, HELP, () =>
    Object.entries(now.byStatus).flatMap(([status, counts]) => samples(status, counts)),
  );
  register(registry, 'gauge', RATIO_NAME, RATIO_HELP, () => [
    { labels: {}, value: now.sampledOneIn === 0 ? 0 : 1 / now.sampledOneIn },
  ]);
  return (latency) => {
    now = latency;
  };
}

function register(registry: Registry, type: string, name: string, help: string, values: () => Sample[]): void {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: async () => ({ name, help, type, aggregator: 'sum', values: values() }),
    reset() {},
  };
  registry.registerMetric(metric as unknown as Metric);
}

function samples(status: string, { count, sumNs, buckets }: LatencyCounts): Sample[] {
  const below = (boundNs: number): number =>
    buckets.reduce((sum, [leNs, inBucket]) => (leNs !== null && leNs <= boundNs ? sum + inBucket : sum), 0);
  const bucket = (le: string, value: number): Sample => ({
    metricName: `${NAME}_bucket`,
    labels: { status, le },
    value,
  });
  return [
    ...BOUNDS_NS.map((boundNs) => bucket(String(boundNs / 1e9), below(boundNs))),
    bucket('+Inf', count),
    { metricName: `${NAME}_sum`, labels: { status }, value: sumNs / 1e9 },
    { metricName: `${NAME}_count`, labels: { status }, value: count },
  ];
}
