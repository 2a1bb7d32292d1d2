/**
 * Where load goes under a table of backends: who leaves a backend, and where the ring sends it, slot by slot, as the kernel
 * decides (docs/protocol.md). Pure. May be imported by src/gateway and bench.
 */
import { nextNotShedding, RING_SLOTS, type Ring, SHED_WHOLE } from '../../auth/placement.ts';
import type { Placeable } from '../present-answers.ts';
import type { Crowd } from './crowd.ts';

/** A backend with its users. */
export interface Loaded extends Placeable {
  readonly crowd: Crowd;
  /** Most load that it should have. */
  readonly target: number;
}

const ID_VALUES = 65_536;

/** What leaves the backends, by slot. They are told of one by one, so that a plan can grow by one at a time. */
export class Departures {
  readonly #leaving = new Float64Array(RING_SLOTS);
  /** What stays, by backend id. */
  readonly #stays = new Float64Array(ID_VALUES);
  readonly #shedding = new Set<number>();

  /** @param shed hundredths of a percent; of a backend that isn't active, all leaves. One that shed nobody may come again. */
  add({ id, state, crowd }: Loaded, shed: number): void {
    const isActive = state === 'active';
    let left = 0;
    crowd.leaving(isActive ? shed : SHED_WHOLE, (slot, load) => {
      this.#leaving[slot] = (this.#leaving[slot] as number) + load;
      left += load;
    });
    this.#stays[id] = Math.max(0, crowd.load - left);
    if (isActive && shed > 0) this.#shedding.add(id);
  }

  /** @returns by backend id, who comes from elsewhere; undefined where nobody takes who leaves */
  received(placed: Uint16Array): Float64Array | undefined {
    const moved = nextNotShedding(placed, this.#shedding);
    if (moved[0] === 0) return undefined;
    const received = new Float64Array(ID_VALUES);
    for (let slot = 0; slot < RING_SLOTS; slot++) {
      const to = moved[slot] as number;
      received[to] = (received[to] as number) + (this.#leaving[slot] as number);
    }
    return received;
  }

  /** @returns load by backend id, of all that were added; undefined as `received` */
  loads(placed: Uint16Array): Float64Array | undefined {
    return this.received(placed)?.map((load, id) => load + (this.#stays[id] as number));
  }
}

/** @returns load by backend id under the table as it is */
export function loadsUnder(backends: readonly Loaded[], { placed, moved }: Ring): Float64Array {
  const departures = new Departures();
  // Where all of them shed, nobody is shed.
  const sheds = moved[0] !== 0;
  for (const backend of backends) departures.add(backend, sheds ? backend.shed : 0);
  const loads = departures.loads(placed);
  if (loads !== undefined) return loads;
  // Without an active backend everyone stays.
  return backends.reduce((stay, { id, crowd }) => stay.fill(crowd.load, id, id + 1), new Float64Array(ID_VALUES));
}

/** One of two tables that are compared. */
export interface Table {
  readonly ring: Ring;
  readonly shedOf: (backend: Loaded) => number;
}

/** How much load is answered elsewhere under one table than under another; the states are the same in both. */
export function movedBetween(backends: readonly Loaded[], before: Table, after: Table): number {
  let moved = 0;
  for (const backend of backends) {
    const { state, crowd } = backend;
    const isActive = state === 'active';
    const shedBefore = before.shedOf(backend);
    const shedAfter = after.shedOf(backend);
    crowd.leaving(isActive ? Math.min(shedBefore, shedAfter) : SHED_WHOLE, (slot, load) => {
      if (answer(before.ring, slot) !== answer(after.ring, slot)) moved += load;
    });
    if (isActive) moved += Math.abs(leavingLoad(crowd, shedAfter) - leavingLoad(crowd, shedBefore));
  }
  return moved;
}

function answer({ placed, moved }: Ring, slot: number): number {
  return (moved[slot] as number) || (placed[slot] as number);
}

function leavingLoad(crowd: Crowd, shed: number): number {
  let load = 0;
  crowd.leaving(shed, (_, part) => {
    load += part;
  });
  return load;
}
