/**
 * Map `latencies`: how long timed packets took in the kernel, by what they were answered with. Read by datapath.ts; may be
 * imported by src/gateway only.
 */
import { LatencyKind, LatencyScale, latenciesLayout } from '../../abi.ts';
import type { LatencyName } from '../ports.ts';
import { mapLookup } from './libbpf.ts';

export interface LatencyPackets {
  readonly sumNs: number;
  /** By bucket, as many as LATENCY_BOUNDS_NS and one for what took longer. */
  readonly packets: readonly number[];
}

export type Latencies = Readonly<Record<LatencyName, LatencyPackets>>;

const NAMES = Object.keys(LatencyKind).filter((name): name is LatencyName => name !== 'KINDS');
const PARTS = 2 ** LatencyScale.PARTS_BITS;

/** Upper bounds of the buckets but the last, ns, each included (bpf/abi.h, enum latency_scale). */
export const LATENCY_BOUNDS_NS: readonly number[] = Array.from({ length: LatencyScale.BUCKETS - 1 }, (_, bucket) => {
  if (bucket === 0) return 2 ** LatencyScale.FIRST_BITS;
  const doubling = Math.floor((bucket - 1) / PARTS);
  const part = (bucket - 1) % PARTS;
  return 2 ** (LatencyScale.FIRST_BITS + doubling) * (1 + (part + 1) / PARTS);
});

export function readLatencies(fd: number, cpus: number): Latencies {
  const words = latenciesLayout.size / 8;
  const values = new BigUint64Array(cpus * words);
  const key = new Uint32Array(1);
  const read = (kind: number): LatencyPackets => {
    key[0] = kind;
    mapLookup(fd, new Uint8Array(key.buffer), new Uint8Array(values.buffer));
    const sum = (word: number): number => {
      let total = 0;
      for (let cpu = 0; cpu < cpus; cpu++) total += Number(values[cpu * words + word] ?? 0n);
      return total;
    };
    const first = latenciesLayout.offset.packets / 8;
    return {
      sumNs: sum(latenciesLayout.offset.sumNs / 8),
      packets: Array.from({ length: LatencyScale.BUCKETS }, (_, bucket) => sum(first + bucket)),
    };
  };
  return Object.fromEntries(NAMES.map((name) => [name, read(LatencyKind[name])])) as unknown as Latencies;
}
