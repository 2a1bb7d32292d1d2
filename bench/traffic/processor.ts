/**
 * Processor time, of threads and of the whole machine, and where a thread runs. May be imported by bench only.
 *
 * Times are those of the scheduler (/proc/…/schedstat, ns). On kernels without IRQ_TIME_ACCOUNTING, as Debian's, a thread's time holds what
 * soft interrupts took in its course; those that take long are in the time of ksoftirqd, which is counted too.
 */
import * as fs from 'node:fs';
import koffi from 'koffi';

/** Processes end while they are listed. */
function readOr(otherwise: string, path: string): string {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

function spentNs(task: string): number {
  return Number(readOr('0', `/proc/${task}/schedstat`).split(' ')[0]);
}

/** Of the calling thread. */
export function ownNs(): number {
  return spentNs('thread-self');
}

/** Of all threads of a process. */
export function processNs(pid: number): number {
  let sum = 0;
  for (const thread of fs.readdirSync(`/proc/${pid}/task`)) sum += spentNs(`${pid}/task/${thread}`);
  return sum;
}

/** @returns process ids of the kernel's threads for soft interrupts on these CPUs */
export function softInterruptThreads(cpus: readonly number[]): number[] {
  const names = new Set(cpus.map((cpu) => `ksoftirqd/${cpu}`));
  return fs
    .readdirSync('/proc')
    .filter((id) => /^\d+$/.test(id) && names.has(readOr('', `/proc/${id}/comm`).trim()))
    .map(Number);
}

/** The calling thread runs on this CPU alone from now on. */
export function pinTo(cpu: number): void {
  const mask = new Uint8Array(128);
  mask[cpu >> 3] = 1 << (cpu & 7);
  const setAffinity = koffi.load('libc.so.6').func('int sched_setaffinity(int pid, size_t size, void *mask)');
  if ((setAffinity(0, mask.length, mask) as number) !== 0) throw new Error(`there is no CPU ${cpu} to run on`);
}

export interface MachineTimes {
  readonly busyMs: number;
  readonly stolenMs: number;
  readonly atMs: number;
}

/** All CPUs together, since the start of the machine, in steps of 10 ms. */
export function machineTimes(): MachineTimes {
  const fields = (fs.readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/).slice(1).map(Number);
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0, stolen = 0] = fields;
  const busyMs = 10 * (user + nice + system + interrupts + softInterrupts);
  return { busyMs, stolenMs: 10 * stolen, atMs: performance.now() };
}
