/**
 * Where users are answered to now, by the backends that Redis has: the same as the kernel decides (docs/protocol.md), from
 * the same ring. Pure. May be imported by src/gateway only.
 */
import { buildRing, movedTo, type PlacedBackend, RING_SLOTS, type Ring } from '../auth/placement.ts';
import type { BackendState } from '../sync/table.ts';

/** What of a backend decides. */
export interface Placeable {
  readonly id: number;
  readonly name: string;
  readonly state: BackendState;
  readonly weight: number;
  readonly shed: number;
}

/** The ring of these backends. */
export function ringOf(backends: readonly Placeable[]): Ring {
  return buildRing(
    backends.map(({ id, name, state, weight, shed }): PlacedBackend => {
      return { id, name, active: state === 'active', weight, shed };
    }),
  );
}

/** By id, the part of the ring that each backend has, 0 to 1. */
export function sharesOf(backends: readonly Placeable[]): ReadonlyMap<number, number> {
  const slots = new Map<number, number>();
  for (const id of ringOf(backends).placed) slots.set(id, (slots.get(id) ?? 0) + 1);
  return new Map(backends.map(({ id }) => [id, (slots.get(id) ?? 0) / RING_SLOTS]));
}

export class PresentAnswers {
  readonly #ring: Ring;
  readonly #byName: ReadonlyMap<string, Placeable>;
  readonly #nameOf: ReadonlyMap<number, string>;

  constructor(backends: readonly Placeable[]) {
    this.#ring = ringOf(backends);
    this.#byName = new Map(backends.map((backend) => [backend.name, backend]));
    this.#nameOf = new Map(backends.map(({ id, name }) => [id, name]));
  }

  /**
   * Where a session that is stored on `name` is answered to, if elsewhere. Stored there, it is answered so too: a target
   * sheds nobody, or all backends shed and then nobody is moved on.
   * @param hash cookie hash, at least 16 bytes
   * @returns null where it is answered with `name` itself, or is not found
   */
  movedTo(name: string, hash: Uint8Array): string | null {
    const stored = this.#byName.get(name);
    if (stored === undefined) return null;
    const id = movedTo(this.#ring, { active: stored.state === 'active', shed: stored.shed }, hash);
    return this.#nameOf.get(id) ?? null;
  }
}
