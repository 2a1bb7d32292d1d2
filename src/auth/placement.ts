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
import { createHash } from 'node:crypto';
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
  fill(placed, backends.filter(({ active, weight }) => active && weight > 0).map(chooserOf));
  const shedding = new Set(backends.filter(({ shed }) => shed > 0).map(({ id }) => id));
  return { placed, moved: nextNotShedding(placed, shedding) };
}

/** A backend while slots are given out. */
interface Chooser {
  readonly id: number;
  readonly name: string;
  readonly weight: number;
  /** From one slot of its preference to the next, 1 to `RING_SLOTS` − 1. */
  readonly step: number;
  /** Its next preference. */
  slot: number;
  turns: number;
  /** When it chooses next; the unit is a turn of a backend of weight 1. */
  turnAt: number;
}

function chooserOf({ id, name, weight }: PlacedBackend): Chooser {
  const digest = createHash('sha256').update(name).digest();
  const slot = Number(digest.readBigUInt64BE(0) % BigInt(RING_SLOTS));
  const step = 1 + Number(digest.readBigUInt64BE(8) % BigInt(RING_SLOTS - 1));
  return { id, name, weight, step, slot, turns: 0, turnAt: 1 / weight };
}

function isBefore(a: Chooser, b: Chooser): boolean {
  return a.turnAt < b.turnAt || (a.turnAt === b.turnAt && a.name < b.name);
}

/** The choosers are kept as a binary heap: whoever's turn it is stands at its top. */
function fill(ring: Uint16Array, heap: Chooser[]): void {
  heap.sort((a, b) => (isBefore(a, b) ? -1 : 1));
  const next = heap[0];
  if (next === undefined) return;
  for (let taken = 0; taken < ring.length; taken++) {
    const chooser = heap[0] as Chooser;
    while (ring[chooser.slot] !== 0) chooser.slot = (chooser.slot + chooser.step) % ring.length;
    ring[chooser.slot] = chooser.id;
    chooser.turns += 1;
    chooser.turnAt = (chooser.turns + 1) / chooser.weight;
    sink(heap);
  }
}

/** Moves the top down to where it belongs. */
function sink(heap: Chooser[]): void {
  const moving = heap[0] as Chooser;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    const left = heap[child];
    if (left === undefined) break;
    const right = heap[child + 1];
    if (right !== undefined && isBefore(right, left)) child += 1;
    const first = heap[child] as Chooser;
    if (isBefore(moving, first)) break;
    heap[at] = first;
    at = child;
  }
  heap[at] = moving;
}

/**
 * Where who leaves a stored backend goes, by slot; `Ring.moved`.
 * @param placed `Ring.placed`
 * @param shedding ids of the backends that shed anybody
 */
export function nextNotShedding(placed: Uint16Array, shedding: ReadonlySet<number>): Uint16Array {
  const moved = new Uint16Array(placed.length);
  let next = 0;
  // Backwards and twice, since what comes after the last slot is the first.
  for (let i = 2 * placed.length - 1; i >= 0; i--) {
    const slot = i % placed.length;
    const id = placed[slot] as number;
    if (!shedding.has(id)) next = id;
    moved[slot] = next;
  }
  return moved;
}
