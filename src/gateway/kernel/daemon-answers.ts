/**
 * Map `daemon_answers`, in the daemon's own memory: how often each backend was named in an answer of the daemon's. It is pinned, so that
 * the sum of these and the program's own never goes back. Imported by datapath.ts alone.
 */
import { daemonAnswersLayout, Limit } from '../../abi.ts';
import { SharedMemory } from './libc.ts';

export class DaemonAnswers {
  readonly #memory: SharedMemory;
  readonly #counts: BigUint64Array;

  constructor(fd: number) {
    this.#memory = new SharedMemory(fd, Limit.BACKENDS * daemonAnswersLayout.size);
    this.#counts = new BigUint64Array(this.#memory.buffer);
  }

  /** @param id below Limit.BACKENDS */
  count(id: number): void {
    this.#counts[id] = (this.#counts[id] as bigint) + 1n;
  }

  /** Since the maps were made. */
  of(id: number): number {
    return Number(this.#counts[id] ?? 0n);
  }

  close(): void {
    this.#memory.close();
  }
}
