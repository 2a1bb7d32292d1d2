/**
 * What machine it was, and whether it was idle otherwise. May be imported by bench only.
 */
import * as fs from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { machineTimes } from '../traffic/processor.ts';

export interface Machine {
  readonly processor: string;
  readonly cpus: number;
  readonly memoryGb: number;
  readonly virtual: boolean;
  /** Whether the processor has instructions for SHA-256. */
  readonly sha: boolean;
  readonly linux: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  const flags = (/^flags\s*:(.*)$/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '').split(' ');
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cpus: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    virtual: flags.includes('hypervisor'),
    sha: flags.includes('sha_ni'),
    linux: release(),
    node: process.version,
  };
}

export function machineText(machine: Machine): string {
  const { processor, cpus: count, memoryGb, virtual, sha, linux, node } = machine;
  const kind = virtual ? 'a virtual machine' : 'a machine';
  return `${kind} with ${count} CPUs (${processor}, ${sha ? 'with' : 'without'} SHA instructions), ${memoryGb} GB, Linux ${linux}, Node.js ${node}`;
}

/** More than this, and figures are not those of an idle machine. */
const IDLE_BUSY = 0.03;
const LISTEN_MS = 1_000;

export interface Disturbance {
  /** Parts of all CPUs that others used before and after, when nothing was measured. */
  readonly busyBefore: number;
  readonly busyAfter: number;
  /** Part of the time that the hypervisor gave to others, while it was measured. */
  readonly stolen: number;
  /** Of the CPU that the sender is bound to, what it got at worst while it sent. */
  readonly leastShare: number;
}

/** How busy others keep the machine while this process waits: part of all CPUs. */
export async function busyPart(): Promise<number> {
  const before = machineTimes();
  await sleep(LISTEN_MS);
  const after = machineTimes();
  return (after.busyMs - before.busyMs) / ((after.atMs - before.atMs) * availableParallelism());
}

/** What is to be said of it; none = it was idle. */
export function warnings({ busyBefore, busyAfter, stolen, leastShare }: Disturbance): string[] {
  const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
  const found: string[] = [];
  for (const [when, busy] of [
    ['before', busyBefore],
    ['after', busyAfter],
  ] as const)
    if (busy > IDLE_BUSY) found.push(`others used ${percent(busy)} of the CPUs ${when} it`);
  if (stolen > IDLE_BUSY) found.push(`the hypervisor took ${percent(stolen)} of the time`);
  if (leastShare < 1 - IDLE_BUSY) found.push(`the sender got only ${percent(leastShare)} of its CPU at worst`);
  return found;
}
