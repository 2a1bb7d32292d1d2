/**
 * What the machine is, and how much else it does. May be imported by bench/micro only.
 */
import * as fs from 'node:fs';
import { cpus, release } from 'node:os';

/** Processor time of all CPUs together, in ms. */
interface Times {
  /** What was not spent idle. */
  busy: number;
  /** What a hypervisor gave to others. */
  stolen: number;
  at: number;
}

/** /proc/stat counts in hundredths of a second. */
const MS_PER_TICK = 10;

function times(): Times {
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0, stolen = 0] = (
    fs.readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
  )
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return {
    busy: MS_PER_TICK * (user + nice + system + interrupts + softInterrupts),
    stolen: MS_PER_TICK * stolen,
    at: performance.now(),
  };
}

export interface Machine {
  processor: string;
  cpus: number;
  kernel: string;
  node: string;
}

export function machine(): Machine {
  const all = cpus();
  return {
    processor: all[0]?.model.trim() ?? 'unknown',
    cpus: all.length,
    kernel: release(),
    node: process.version,
  };
}

export interface Load {
  /** CPUs that something else kept busy, on average. */
  others: number;
  /** CPUs that a hypervisor took away, on average. */
  stolen: number;
  busy: boolean;
}

/** More than this of a CPU spent on others, and figures are to be doubted. */
const BUSY_FROM_CPUS = 0.1;

/** Starts watching; the function returned tells of the time since. */
export function watchLoad(): () => Load {
  const [began, ownBegan] = [times(), process.cpuUsage()];
  return () => {
    const [now, own] = [times(), process.cpuUsage(ownBegan)];
    const elapsedMs = Math.max(1, now.at - began.at);
    const others = Math.max(0, now.busy - began.busy - (own.user + own.system) / 1000) / elapsedMs;
    const stolen = (now.stolen - began.stolen) / elapsedMs;
    return { others, stolen, busy: others + stolen > BUSY_FROM_CPUS };
  };
}
