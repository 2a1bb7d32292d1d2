/**
 * The consumer's side of a BPF ring buffer (Documentation/bpf/ringbuf.rst), for one reader that looks by itself from time to
 * time: records are read where the kernel wrote them, and no callback is made from C. Imported by trace.ts alone.
 *
 *     page 0             where the reader is; written by it alone
 *     page 1             where the writers are
 *     from page 2 on     records, the same memory twice, so that none is in two pieces
 */
import { pageBytes, SharedMemory } from './libc.ts';

/** A record: its length with two flags, 4 bytes that are the kernel's, and the data; all of it in steps of 8 bytes. */
const HEADER_BYTES = 8;
const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;

export class RingReader {
  readonly #bytes: number;
  readonly #own: SharedMemory;
  readonly #theirs: SharedMemory;
  readonly #readAt: BigUint64Array;
  readonly #writtenAt: BigUint64Array;
  readonly #records: DataView;
  readonly #lengths: Int32Array;

  /** @param bytes of the ring: max_entries of the map */
  constructor(fd: number, bytes: number) {
    const page = pageBytes();
    this.#bytes = bytes;
    this.#own = new SharedMemory(fd, page);
    this.#theirs = new SharedMemory(fd, page + 2 * bytes, { offset: page, readOnly: true });
    this.#readAt = new BigUint64Array(this.#own.buffer, 0, 1);
    this.#writtenAt = new BigUint64Array(this.#theirs.buffer, 0, 1);
    this.#records = new DataView(this.#theirs.buffer, page);
    this.#lengths = new Int32Array(this.#theirs.buffer, page);
  }

  /** Everything that is written goes unread. */
  skip(): void {
    this.read(() => undefined);
  }

  /**
   * Reads what is there, at most the whole ring once.
   * @param take given the memory and where in it a record is, which is gone after the call
   */
  read(take: (view: DataView, at: number, length: number) => void): void {
    let at = Atomics.load(this.#readAt, 0);
    const end = Atomics.load(this.#writtenAt, 0);
    while (at < end) {
      const offset = Number(at % BigInt(this.#bytes));
      const head = Atomics.load(this.#lengths, offset / 4) >>> 0;
      if (head & BUSY) break;
      const length = (head & ~DISCARDED) >>> 0;
      if (!(head & DISCARDED)) take(this.#records, offset + HEADER_BYTES, length);
      at += BigInt((HEADER_BYTES + length + 7) & ~7);
      Atomics.store(this.#readAt, 0, at);
    }
  }

  close(): void {
    this.#own.close();
    this.#theirs.close();
  }
}
