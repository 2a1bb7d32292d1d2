/**
 * What `gateway top` makes of two looks at the daemon: rates, ratios, quantiles. Pure. Imported by src/gateway/top and its command.
 */
import { packetCounts } from '../packet-counts.ts';
import type { BackendViews, KeyInfo, Status } from '../ports.ts';

/** Times of answers in the kernel as the status has them, where it has them. */
interface SeenLatency {
  readonly byStatus: Readonly<
    Record<
      string,
      { readonly count: number; readonly buckets: readonly (readonly [leNs: number | null, count: number])[] }
    >
  >;
}

/** With what other versions of the daemon tell besides. */
export type SeenStatus = Omit<Status, 'keys'> & {
  readonly latency?: SeenLatency;
  /** What the daemon itself made of packets that the kernel left to the host. */
  readonly responder?: Readonly<Record<string, number>> | null;
  /** Requests with each key since it came into force. */
  readonly keys: readonly (KeyInfo & { readonly uses?: number })[];
};

/** One look at the daemon. */
export interface Sample {
  /** Monotonic ms. */
  readonly atMs: number;
  /** Unix ms. */
  readonly wallMs: number;
  readonly status: SeenStatus;
  readonly backends: BackendViews | null;
  /** Why `backends` is null. */
  readonly backendsProblem: string | null;
}

export interface Quantiles {
  /** Half of the answers took no longer than this, ns; null = longer than is told apart, or none was timed. */
  readonly p50Ns: number | null;
  readonly p99Ns: number | null;
}

/** What happened a second between two looks; null where that can't be said, as over a restart. */
export interface Rates {
  /** Answers of all kinds. */
  readonly answers: number;
  /** By verdict; of those that never occurred there is none. */
  readonly byVerdict: Readonly<Record<string, number>>;
  /** Packets that were dropped, for whatever reason. */
  readonly dropped: number;
  /** Of lookups that were answered, denied ones left out, the part whose session is stored, 0 to 1; null where there were none. */
  readonly hits: number | null;
  readonly latency: Quantiles | null;
  /** Requests by the id of their key, where the daemon counts them. */
  readonly byKey: ReadonlyMap<number, number>;
}

const STORED = ['REPLY_FOUND', 'REPLY_MOVED'] as const;
const LOOKUPS = [...STORED, 'REPLY_PLACED', 'REPLY_NOT_FOUND'] as const;

export const isAnswer = (verdict: string): boolean => verdict.startsWith('REPLY_');
const isDrop = (verdict: string): boolean => verdict.startsWith('DROP_') || verdict === 'ABORTED';

export function ratesBetween(before: Sample | null, now: Sample): Rates | null {
  if (before === null || before.status.pid !== now.status.pid) return null;
  const seconds = (now.atMs - before.atMs) / 1_000;
  const [from, to] = [before, now].map(({ status }) => packetCounts(status));
  const names = Object.keys(to ?? {}).filter((name) => (to?.[name] ?? 0) > 0);
  const counts = names.map((name) => [name, (to?.[name] ?? 0) - (from?.[name] ?? 0)] as const);
  // Counters that went back are those of other maps.
  if (seconds <= 0 || counts.some(([, count]) => count < 0)) return null;
  const byVerdict = Object.fromEntries(counts.map(([name, count]) => [name, count / seconds]));
  const sum = (wanted: (name: string) => boolean): number =>
    names.reduce((all, name) => all + (wanted(name) ? (byVerdict[name] ?? 0) : 0), 0);
  const lookups = sum((name) => (LOOKUPS as readonly string[]).includes(name));
  return {
    answers: sum(isAnswer),
    byVerdict,
    dropped: sum(isDrop),
    hits: lookups === 0 ? null : sum((name) => (STORED as readonly string[]).includes(name)) / lookups,
    latency: quantilesBetween(before.status.latency, now.status.latency),
    byKey: keyRates(before.status.keys, now.status.keys, seconds),
  };
}

function keyRates(before: SeenStatus['keys'], now: SeenStatus['keys'], seconds: number): Map<number, number> {
  const earlier = new Map(before.map(({ id, uses }) => [id, uses]));
  return new Map(
    now.flatMap(({ id, uses }): [number, number][] => {
      const from = earlier.get(id);
      return uses === undefined || from === undefined || uses < from ? [] : [[id, (uses - from) / seconds]];
    }),
  );
}

/** Of the answers that were timed in between, whatever they said. */
function quantilesBetween(before: SeenLatency | undefined, now: SeenLatency | undefined): Quantiles | null {
  if (before === undefined || now === undefined) return null;
  const counts = new Map<number, number>();
  const add = ({ byStatus }: SeenLatency, sign: 1 | -1): void => {
    for (const { buckets } of Object.values(byStatus)) {
      for (const [leNs, count] of buckets) {
        const bound = leNs ?? Number.POSITIVE_INFINITY;
        counts.set(bound, (counts.get(bound) ?? 0) + sign * count);
      }
    }
  };
  add(now, 1);
  add(before, -1);
  const buckets = [...counts].sort(([a], [b]) => a - b);
  const all = buckets.reduce((sum, [, count]) => sum + count, 0);
  return { p50Ns: quantileNs(buckets, all * 0.5), p99Ns: quantileNs(buckets, all * 0.99) };
}

function quantileNs(buckets: readonly (readonly [leNs: number, count: number])[], rank: number): number | null {
  let before = 0;
  for (const [leNs, count] of buckets) {
    before += count;
    if (count > 0 && before >= rank) return Number.isFinite(leNs) ? leNs : null;
  }
  return null;
}
