/**
 * Maps `trace_control` and `trace_ring`: which packets the program shows, and what it has shown. Made by datapath.ts; may be
 * imported by src/gateway only.
 */
import { Limit, readTracedPacket, type TracedPacket, traceControlLayout, Verdict } from '../../abi.ts';
import type { TraceFilter } from '../ports.ts';
import { SharedMemory } from './libc.ts';
import { RingReader } from './ring-reader.ts';

const at = traceControlLayout.offset;

export class Trace {
  readonly #control: SharedMemory;
  readonly #view: DataView;
  readonly #doubles: BigUint64Array;
  readonly #ring: RingReader;
  /** Once closed, a reader whose connection takes a moment longer finds nothing, rather than memory that is gone. */
  #isClosed = false;

  constructor(controlFd: number, ringFd: number) {
    this.#control = new SharedMemory(controlFd, traceControlLayout.size);
    this.#view = new DataView(this.#control.buffer);
    this.#doubles = new BigUint64Array(this.#control.buffer);
    this.#ring = new RingReader(ringFd, Limit.TRACE_BYTES);
  }

  /** From now on packets are shown that pass, until `showUntil`. What was shown before goes unread. */
  setFilter({ verdicts, keyId, source, oneIn }: TraceFilter): void {
    if (this.#isClosed) return;
    this.end();
    let bits = 0n;
    for (const verdict of verdicts) bits |= 1n << BigInt(Verdict[verdict]);
    this.#doubles[at.verdicts / 8] = bits;
    this.#view.setUint32(at.keyId, keyId ?? 0, true);
    this.#view.setUint32(at.oneIn, oneIn, true);
    for (let i = 0; i < 16; i++) {
      const bitsHere = Math.min(8, Math.max(0, (source?.prefixLength ?? 0) - 8 * i));
      const mask = (0xff00 >> bitsHere) & 0xff;
      this.#view.setUint8(at.sourceMask + i, mask);
      this.#view.setUint8(at.source + i, (source?.bytes[i] ?? 0) & mask);
    }
    this.#ring.skip();
  }

  /** The program stops by itself then. @param monotonicMs on the clock of process.hrtime */
  showUntil(monotonicMs: number): void {
    if (this.#isClosed) return;
    Atomics.store(this.#doubles, at.untilMs / 8, BigInt(Math.ceil(monotonicMs)));
  }

  /** Until when, monotonic ms; 0 = nobody watches. */
  get untilMs(): number {
    return this.#isClosed ? 0 : Number(Atomics.load(this.#doubles, at.untilMs / 8));
  }

  /** Packets that found the ring full, since the program was loaded. */
  get lost(): number {
    return this.#isClosed ? 0 : Number(Atomics.load(this.#doubles, at.lost / 8));
  }

  /** What has been shown since the last call, at most what the ring holds. */
  read(take: (packet: TracedPacket) => void): void {
    if (this.#isClosed) return;
    this.#ring.read((view, offset) => take(readTracedPacket(view, offset)));
  }

  end(): void {
    this.showUntil(0);
  }

  close(): void {
    this.end();
    this.#isClosed = true;
    this.#ring.close();
    this.#control.close();
  }
}
