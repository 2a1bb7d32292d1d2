/**
 * Map `wall_clock`, in the daemon's own memory: what makes Unix time of the kernel's monotonic clock. Its shape never
 * changes, so it may be that of a program of any version.
 */
import { wallClockLayout } from '../../abi.ts';
import { SharedMemory } from './libc.ts';

export class WallClock {
  readonly #memory: SharedMemory;
  readonly #offset: BigInt64Array;

  constructor(fd: number) {
    this.#memory = new SharedMemory(fd, wallClockLayout.size);
    this.#offset = new BigInt64Array(this.#memory.buffer);
  }

  /** Unix time less the monotonic clock, ms. */
  get offsetMs(): number {
    return Number(this.#offset[0] ?? 0n);
  }
  set offsetMs(value: number) {
    this.#offset[0] = BigInt(Math.round(value));
  }

  close(): void {
    this.#memory.close();
  }
}
