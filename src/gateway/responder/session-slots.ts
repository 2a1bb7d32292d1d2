/**
 * Sessions in one array of numbers: 40 bytes each, some 55 to 110 with the free slots between, and no object for any of them. A hash
 * table with linear probing; a removal closes its gap, so that nothing is left where one was. Imported by session-parts.ts, memory-table.ts and
 * its tests alone.
 *
 *     slot   hash 0 1 2 3 │ version low, high │ expires low, high │ generation │ in use, backend id
 */

/** Words of 32 bits that a slot takes, and where its parts begin. */
const SLOT_WORDS = 10;
const VERSION = 4;
const EXPIRES = 6;
const GENERATION = 8;
const STATE = 9;
const IN_USE = 2 ** 31;
const BACKEND_BITS = 0xffff;

const FIRST_SLOTS = 16;
/** Filled further than this, searches get long. */
const FULLEST = 3 / 4;

/** A record as it is held. */
export interface HeldRecord {
  /** Milliseconds of the version, and the sequence number within them. */
  readonly ms: number;
  readonly seq: number;
  /** Unix ms; 0 = never */
  readonly expiresMs: number;
  readonly generation: number;
  /** 0 = one that is not known */
  readonly backendId: number;
}

export class SessionSlots {
  #words = new Uint32Array(FIRST_SLOTS * SLOT_WORDS);
  #mask = FIRST_SLOTS - 1;
  #size = 0;
  readonly #key = new Uint32Array(4);
  readonly #keyBytes = new Uint8Array(this.#key.buffer);

  get size(): number {
    return this.#size;
  }

  /** Slots there are; it changes when the table grows. */
  get slots(): number {
    return this.#mask + 1;
  }

  /** @param hash at least 16 bytes @returns the slot, -1 = it is not held */
  find(hash: Uint8Array): number {
    const slot = this.#search(hash);
    return this.#state(slot) === 0 ? -1 : slot;
  }

  /** Of a slot that `find` gave, until the table changes. */
  record(slot: number): HeldRecord {
    const at = slot * SLOT_WORDS;
    const words = this.#words;
    const low = words[at + VERSION] as number;
    const high = words[at + VERSION + 1] as number;
    return {
      ms: high * 4096 + Math.floor(low / 2 ** 20),
      seq: low % 2 ** 20,
      expiresMs: (words[at + EXPIRES] as number) + (words[at + EXPIRES + 1] as number) * 2 ** 32,
      generation: words[at + GENERATION] as number,
      backendId: this.#state(slot) & BACKEND_BITS,
    };
  }

  /**
   * @param mayAdd whether there is room for one that is not held yet
   * @returns false where it is not held yet and there is no room, or no memory
   */
  put(hash: Uint8Array, record: HeldRecord, mayAdd: boolean): boolean {
    let slot = this.#search(hash);
    if (this.#state(slot) === 0) {
      if (!mayAdd) return false;
      if (this.#size + 1 > FULLEST * this.slots) {
        if (!this.#grow()) return false;
        slot = this.#search(hash);
      }
      this.#words.set(this.#key, slot * SLOT_WORDS);
      this.#size += 1;
    }
    const at = slot * SLOT_WORDS;
    const words = this.#words;
    words[at + VERSION] = (record.ms % 4096) * 2 ** 20 + record.seq;
    words[at + VERSION + 1] = Math.floor(record.ms / 4096);
    words[at + EXPIRES] = record.expiresMs % 2 ** 32;
    words[at + EXPIRES + 1] = Math.floor(record.expiresMs / 2 ** 32);
    words[at + GENERATION] = record.generation;
    words[at + STATE] = IN_USE + record.backendId;
    return true;
  }

  /** Records behind it move up, so that a search never ends before one that it is to find. */
  remove(slot: number): void {
    const words = this.#words;
    const mask = this.#mask;
    let gap = slot;
    for (let next = (gap + 1) & mask; this.#state(next) !== 0; next = (next + 1) & mask) {
      const home = (words[next * SLOT_WORDS] as number) & mask;
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      words.copyWithin(gap * SLOT_WORDS, next * SLOT_WORDS, (next + 1) * SLOT_WORDS);
      gap = next;
    }
    words.fill(0, gap * SLOT_WORDS, (gap + 1) * SLOT_WORDS);
    this.#size -= 1;
  }

  /** Removes what is dead. @returns how many that were */
  collect(isDead: (record: HeldRecord) => boolean): number {
    const before = this.#size;
    let free = 0;
    while (this.#state(free) !== 0) free += 1;
    // From one free slot on: records that a removal moves up lie further on in the same run, so none is passed by or seen twice.
    for (let i = 1; i <= this.#mask; ) {
      const slot = (free + i) & this.#mask;
      if (this.#state(slot) !== 0 && isDead(this.record(slot))) this.remove(slot);
      else i += 1;
    }
    return before - this.#size;
  }

  #state(slot: number): number {
    return this.#words[slot * SLOT_WORDS + STATE] as number;
  }

  /** @returns the session's slot, or the free one where it would go. There always is a free one. */
  #search(hash: Uint8Array): number {
    for (let i = 0; i < 16; i++) this.#keyBytes[i] = hash[i] as number;
    const [a = 0, b = 0, c = 0, d = 0] = this.#key;
    const words = this.#words;
    let slot = a & this.#mask;
    for (let at = slot * SLOT_WORDS; words[at + STATE] !== 0; at = slot * SLOT_WORDS) {
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) break;
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  #grow(): boolean {
    const before = this.#words;
    const slots = this.slots * 2;
    try {
      this.#words = new Uint32Array(slots * SLOT_WORDS);
    } catch (error) {
      // As much as this machine has.
      if (error instanceof RangeError) return false;
      throw error;
    }
    this.#mask = slots - 1;
    const words = this.#words;
    for (let from = 0; from < before.length; from += SLOT_WORDS) {
      if (before[from + STATE] === 0) continue;
      let slot = (before[from] as number) & this.#mask;
      while (this.#state(slot) !== 0) slot = (slot + 1) & this.#mask;
      for (let i = 0, to = slot * SLOT_WORDS; i < SLOT_WORDS; i++) words[to + i] = before[from + i] as number;
    }
    return true;
  }
}
