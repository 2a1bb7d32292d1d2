/**
 * Where a user goes who can't, or shouldn't, stay with a stored backend: the same on every gateway, from the backends alone.
 * Pure; may be imported by every floor above.
 *
 * The ring has a slot for every 65,537th part of all cookie hashes. It is filled as in Maglev (Eisenbud et al., NSDI 2016,
 * section 3.4): each backend has an order of preference of its own over the slots, made from its name, and they take
 * turns in choosing, as often as their weights say. So shares follow the weights to a slot, and where a backend
 * joins or goes nearly all of the others' slots stay as they were.
 *
 *     cookie hash   00 01 02 03   04 05 06 07   08 …
 *                   └ slot ────┘  └ shed rank ┘
 */
import { hash } from 'node:crypto';
import { Limit, Shed } from '../abi.ts';

/** A prime, so that every step through the slots meets each of them. */
export const RING_SLOTS = Limit.RING_SLOTS;

/** Shed ranks and fractions count in hundredths of a percent. */
export const SHED_WHOLE = Shed.WHOLE;

export interface PlacedBackend {
  /** 1 to 65535 */
  readonly id: number;
  readonly name: string;
  /** Only active ones are on the ring. */
  readonly active: boolean;
  /** Share of the ring, relative to the others' weights; 0 = none. */
  readonly weight: number;
  /** Fraction of its users that goes elsewhere, 0 to `SHED_WHOLE`. */
  readonly shed: number;
}

export interface Ring {
  /** Backend id of each slot; 0 = there is no active backend. */
  readonly placed: Uint16Array;
  /** The same for who is to leave a stored backend: the next slot's whose backend sheds nobody; 0 = all of them do. */
  readonly moved: Uint16Array;
}

/**
 * Slot of a cookie hash, 0 to `RING_SLOTS` − 1.
 * @param hash at least 16 bytes
 */
export function slotOf(hash: Uint8Array): number {
  return scaled(hash, 0, RING_SLOTS);
}

/**
 * A user is shed where this is less than the backend's fraction: a larger one sheds the same users and more.
 * @param hash at least 16 bytes
 * @returns 0 to `SHED_WHOLE` − 1, from bytes that the slot isn't made from
 */
export function shedRankOf(hash: Uint8Array): number {
  return scaled(hash, 4, SHED_WHOLE);
}

/** The 32 bits at `at`, big-endian, brought to 0..range without a division. */
function scaled(hash: Uint8Array, at: number, range: number): number {
  const bits = new DataView(hash.buffer, hash.byteOffset, hash.byteLength).getUint32(at);
  return Number((BigInt(bits) * BigInt(range)) >> 32n);
}

/**
 * Where a user goes who is stored on a backend.
 * @param hash at least 16 bytes
 * @returns a backend's id; 0 = it stays
 */
export function movedTo(ring: Ring, stored: Pick<PlacedBackend, 'active' | 'shed'>, hash: Uint8Array): number {
  if (stored.active && !isShed(stored, hash)) return 0;
  const slot = slotOf(hash);
  const moved = ring.moved[slot] as number;
  // Who is shed stays where all shed; who has to leave goes to one that sheds rather than stay.
  return moved !== 0 || stored.active ? moved : (ring.placed[slot] as number);
}

/** Whether a user is among those that the backend sheds. @param hash at least 16 bytes */
export function isShed({ shed }: Pick<PlacedBackend, 'shed'>, hash: Uint8Array): boolean {
  return shedRankOf(hash) < shed;
}

/** Two rings of the same backends are equal, in whatever order these come. */
export function buildRing(backends: readonly PlacedBackend[]): Ring {
  const placed = new Uint16Array(RING_SLOTS);
  const choosers = backends.filter(({ active, weight }) => active && weight > 0);
  fill(placed, choosers.sort(compareNames));
  const shedding = new Set(backends.filter(({ shed }) => shed > 0).map(({ id }) => id));
  return { placed, moved: nextNotShedding(placed, shedding) };
}

function compareNames(a: PlacedBackend, b: PlacedBackend): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/**
 * Backends take turns: that of number i is due at 1/weight, 2/weight, …; of two that are due at once the first one by name goes first. Arrays of
 * numbers, since this runs 65,537 times for each change of a backend, and the feed waits for it.
 * @param backends by name
 */
function fill(ring: Uint16Array, backends: readonly PlacedBackend[]): void {
  const count = backends.length;
  if (count === 0) return;
  const ids = Uint16Array.from(backends, ({ id }) => id);
  const weights = Float64Array.from(backends, ({ weight }) => weight);
  // The next preference of each, and from one to the next, 1 to RING_SLOTS - 1.
  const slots = new Uint32Array(count);
  const steps = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const digest = hash('sha256', (backends[i] as PlacedBackend).name, 'buffer');
    slots[i] = remainder(digest, 0, RING_SLOTS);
    steps[i] = 1 + remainder(digest, 8, RING_SLOTS - 1);
  }
  const turns = new Uint32Array(count).fill(1);
  const due = weights.map((weight) => 1 / weight);
  // A binary heap of their numbers: whose turn it is stands at the top. Sorted, it is one.
  const heap = Uint32Array.from(due.keys()).sort((a, b) => (due[a] as number) - (due[b] as number) || a - b);
  for (let taken = 0; taken < ring.length; taken++) {
    const chooser = heap[0] as number;
    const step = steps[chooser] as number;
    let slot = slots[chooser] as number;
    while (ring[slot] !== 0) {
      slot += step;
      if (slot >= ring.length) slot -= ring.length;
    }
    slots[chooser] = slot;
    ring[slot] = ids[chooser] as number;
    const turn = (turns[chooser] as number) + 1;
    turns[chooser] = turn;
    due[chooser] = turn / (weights[chooser] as number);
    sink(heap, due);
  }
}

/** Moves the top of the heap down to where it belongs. */
function sink(heap: Uint32Array, due: Float64Array): void {
  const moving = heap[0] as number;
  const movingDue = due[moving] as number;
  let at = 0;
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    let first = heap[child] as number;
    let firstDue = due[first] as number;
    if (child + 1 < heap.length) {
      const right = heap[child + 1] as number;
      const rightDue = due[right] as number;
      if (rightDue < firstDue || (rightDue === firstDue && right < first)) {
        child += 1;
        first = right;
        firstDue = rightDue;
      }
    }
    if (movingDue < firstDue || (movingDue === firstDue && moving < first)) break;
    heap[at] = first;
    at = child;
  }
  heap[at] = moving;
}

/** Of the 64 bits at `at`, big-endian. @param divisor at most 2^17 */
function remainder(bytes: Buffer, at: number, divisor: number): number {
  const high = bytes.readUInt32BE(at) % divisor;
  return (high * (2 ** 32 % divisor) + bytes.readUInt32BE(at + 4)) % divisor;
}

/**
 * Where who leaves a stored backend goes, by slot; `Ring.moved`.
 * @param placed `Ring.placed`
 * @param shedding ids of the backends that shed anybody
 */
export function nextNotShedding(placed: Uint16Array, shedding: ReadonlySet<number>): Uint16Array {
  const moved = new Uint16Array(placed.length);
  const sheds = new Uint8Array(Limit.BACKENDS);
  for (const id of shedding) sheds[id] = 1;
  let next = 0;
  // Backwards and twice, since what comes after the last slot is the first.
  for (let turn = 0; turn < 2; turn++) {
    for (let slot = placed.length - 1; slot >= 0; slot--) {
      const id = placed[slot] as number;
      if (sheds[id] === 0) next = id;
      moved[slot] = next;
    }
  }
  return moved;
}
