/**
 * Map `responder`, in the daemon's own memory: whether the program hands misses up (bpf/hand-up.h). Imported by datapath.ts alone.
 */
import { responderLayout } from '../../abi.ts';
import { SharedMemory } from './libc.ts';

export class HandUp {
  readonly #memory: SharedMemory;
  readonly #alive: BigUint64Array;

  constructor(fd: number) {
    this.#memory = new SharedMemory(fd, responderLayout.size);
    this.#alive = new BigUint64Array(this.#memory.buffer);
  }

  /** Monotonic ms; 0 = nobody asks. */
  set aliveMs(value: number) {
    this.#alive[responderLayout.offset.aliveMs / 8] = BigInt(value);
  }

  close(): void {
    this.#memory.close();
  }
}
