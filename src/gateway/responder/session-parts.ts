/**
 * The sessions of a gateway without XDP: many small tables, each for a part of the hashes. One table would stop this process for seconds when it
 * grows; a part moves some thousand records at most, and each has its own moment. Imported by memory-table.ts and its tests alone.
 */
import { type HeldRecord, SessionSlots } from './session-slots.ts';

/** Sessions in a part, at most, when as many are held as may be. */
const PART_SESSIONS = 2_048;
/** Which part is said by these bytes of a hash; a slot in it, by those before. */
const PART_AT = 4;
const PARTS_MAX = 2 ** 16;

export class SessionParts {
  readonly #capacity: number;
  readonly #parts: readonly SessionSlots[];
  #size = 0;

  /** @param capacity most sessions held; memory is taken as they come */
  constructor(capacity: number) {
    let count = 1;
    while (count * PART_SESSIONS < capacity && count < PARTS_MAX) count *= 2;
    this.#capacity = capacity;
    this.#parts = Array.from({ length: count }, () => new SessionSlots());
  }

  get size(): number {
    return this.#size;
  }

  /** Parts there are. */
  get count(): number {
    return this.#parts.length;
  }

  /** Slots of a part, 0 to `count` − 1; they change when it grows. */
  slotsOf(index: number): number {
    return this.#parts[index]?.slots ?? 0;
  }

  /** @param hash at least 16 bytes */
  find(hash: Uint8Array): HeldRecord | undefined {
    const part = this.#partOf(hash);
    const slot = part.find(hash);
    return slot < 0 ? undefined : part.record(slot);
  }

  /** @returns false where it is not held yet and there is no room, or no memory */
  put(hash: Uint8Array, record: HeldRecord): boolean {
    const part = this.#partOf(hash);
    const before = part.size;
    if (!part.put(hash, record, this.#size < this.#capacity)) return false;
    this.#size += part.size - before;
    return true;
  }

  /** Nothing where it isn't held. */
  remove(hash: Uint8Array): void {
    const part = this.#partOf(hash);
    const slot = part.find(hash);
    if (slot < 0) return;
    part.remove(slot);
    this.#size -= 1;
  }

  /** Removes from a part what is dead. @returns how many that were */
  collect(index: number, isDead: (record: HeldRecord) => boolean): number {
    const collected = this.#parts[index]?.collect(isDead) ?? 0;
    this.#size -= collected;
    return collected;
  }

  #partOf(hash: Uint8Array): SessionSlots {
    const said = (hash[PART_AT] as number) + (hash[PART_AT + 1] as number) * 256;
    return this.#parts[said & (this.#parts.length - 1)] as SessionSlots;
  }
}
