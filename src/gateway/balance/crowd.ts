/**
 * The users of one backend as the planner sees them: how much load they are, and who of them leaves, from which slot of the
 * ring, when the backend sheds. Pure. May be imported by src/gateway and bench.
 *
 * Where every session was read, each user's slot and shed rank are known, and what a plan says is what lookups will
 * answer. Of a load that was only measured, as a number, it is taken that it leaves evenly: by shed fraction, and from each of the slots
 * that its users were placed by.
 */
import { RING_SLOTS, SHED_WHOLE, shedRankOf, slotOf } from '../../auth/placement.ts';

export interface Crowd {
  readonly load: number;
  /**
   * The least fraction to shed so that at most `most` stays.
   * @returns 0 to `SHED_WHOLE`, hundredths of a percent
   */
  shedFor(most: number): number;
  /** Calls `visit` with what leaves at this fraction, by slot; one slot may come several times. */
  leaving(shed: number, visit: (slot: number, load: number) => void): void;
}

/** What stays is over `most` only if it is by more than the rounding of sums. */
const ROUNDING = 1e-9;

export function isOver(load: number, most: number): boolean {
  return load > most + Math.max(load, most) * ROUNDING;
}

/** A load that was measured as one number. */
export class EstimatedCrowd implements Crowd {
  readonly load: number;
  readonly #slots: ArrayLike<number>;

  /** @param slots by which its users were placed; empty = they are on all of them */
  constructor(load: number, slots: ArrayLike<number>) {
    this.load = load;
    this.#slots = slots;
  }

  shedFor(most: number): number {
    if (!isOver(this.load, most)) return 0;
    const shed = Math.floor((1 - Math.max(most, 0) / this.load) * SHED_WHOLE);
    return isOver(this.load * (1 - shed / SHED_WHOLE), most) ? Math.min(shed + 1, SHED_WHOLE) : shed;
  }

  leaving(shed: number, visit: (slot: number, load: number) => void): void {
    const load = (this.load * shed) / SHED_WHOLE;
    if (load === 0) return;
    const count = this.#slots.length;
    if (count === 0) for (let slot = 0; slot < RING_SLOTS; slot++) visit(slot, load / RING_SLOTS);
    else for (let i = 0; i < count; i++) visit(this.#slots[i] as number, load / count);
  }
}

/** The slot takes 17 bits, the rank above it 14. */
const SLOT_VALUES = 131_072;

/** Users that were counted one by one. */
export class CountedCrowd implements Crowd {
  /** Rank and slot of each, by rank. */
  readonly #users: Uint32Array;

  /** @param users `userOf` of each; they are put in order */
  constructor(users: Uint32Array) {
    this.#users = users.sort();
  }

  get load(): number {
    return this.#users.length;
  }

  shedFor(most: number): number {
    const leave = this.load - Math.floor(Math.max(most, 0));
    return leave <= 0 ? 0 : rankOf(this.#users[leave - 1] as number) + 1;
  }

  leaving(shed: number, visit: (slot: number, load: number) => void): void {
    for (const user of this.#users) {
      if (rankOf(user) >= shed) return;
      visit(user % SLOT_VALUES, 1);
    }
  }
}

/** What of a user counts, in one number. @param hash cookie hash, at least 16 bytes */
export function userOf(hash: Uint8Array): number {
  return shedRankOf(hash) * SLOT_VALUES + slotOf(hash);
}

function rankOf(user: number): number {
  return Math.floor(user / SLOT_VALUES);
}

/** Counts users while they are read. */
export class CrowdCounter {
  #users = new Uint32Array(1_024);
  #count = 0;

  add(hash: Uint8Array): void {
    if (this.#count === this.#users.length) {
      const larger = new Uint32Array(this.#users.length * 2);
      larger.set(this.#users);
      this.#users = larger;
    }
    this.#users[this.#count] = userOf(hash);
    this.#count += 1;
  }

  crowd(): CountedCrowd {
    return new CountedCrowd(this.#users.slice(0, this.#count));
  }
}
