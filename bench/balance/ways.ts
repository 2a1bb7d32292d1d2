/** The ways to balance that are compared. May be imported by bench/balance only. */
import { nextNotShedding, RING_SLOTS, type Ring } from '../../src/auth/placement.ts';
import type { Crowd } from '../../src/gateway/balance/crowd.ts';
import { measuredCrowds } from '../../src/gateway/balance/measured.ts';
import { planBalance } from '../../src/gateway/balance/plan.ts';
import { type Placeable, ringOf } from '../../src/gateway/present-answers.ts';
import { type Random, seeded } from './random.ts';
import { loadsOf, type World } from './world.ts';

/** Most load of a backend, relative to the average. */
export const TARGET = 1.25;

export interface Way {
  readonly name: string;
  /**
   * Answers all users anew.
   * @param renewed who is another one since the last call; at the first call, all
   * @returns backend id by user; the caller changes nothing in it
   */
  answer(world: World, renewed: readonly number[]): Uint16Array;
}

/** Where users are stored, and how they are answered under a table of backends. */
class Gateway {
  readonly stored: Uint16Array;

  constructor(users: number) {
    this.stored = new Uint16Array(users);
  }

  /** As the kernel does (docs/protocol.md); who is new is stored where the gateway says. */
  answers(world: World, table: readonly Placeable[], ring: Ring, renewed: readonly number[]): Uint16Array {
    const shed = new Uint16Array(table.length + 1);
    const active = new Uint8Array(table.length + 1);
    for (const one of table) {
      shed[one.id] = one.shed;
      active[one.id] = one.state === 'active' ? 1 : 0;
    }
    for (const user of renewed) this.stored[user] = ring.placed[world.slots[user] as number] as number;
    const at = new Uint16Array(this.stored.length);
    for (let user = 0; user < at.length; user++) {
      const home = this.stored[user] as number;
      const moves = active[home] === 0 || (shed[home] as number) > (world.ranks[user] as number);
      at[user] = moves ? (ring.moved[world.slots[user] as number] as number) || home : home;
    }
    for (const user of renewed) this.stored[user] = at[user] as number;
    return at;
  }
}

/** Users stay; those of a backend that is down are answered by the ring until it is back. */
export function nothing(users: number): Way {
  const gateway = new Gateway(users);
  return {
    name: 'doing nothing',
    answer: (world, renewed) => gateway.answers(world, world.members, world.ring, renewed),
  };
}

/** What `gateway balance --by reported --watch` does, each tick; loads are measured with an error. */
export function shedding(users: number, seed: number): Way {
  const gateway = new Gateway(users);
  const noise = seeded(seed);
  const rings = new Rings();
  const changes = new Map<number, { shed: number; weight: number }>();
  const tableOf = ({ members }: World): Placeable[] => {
    return members.map(({ id, name, state }) => ({ id, name, state, weight: 100, shed: 0, ...changes.get(id) }));
  };
  return {
    name: 'gateway balance',
    answer(world, renewed) {
      const table = tableOf(world);
      const ring = rings.of(table);
      const measured = measuredLoads(world, gateway.answers(world, table, ring, renewed), noise);
      const crowds = measuredCrowds(table, measured, ring);
      const target = TARGET * world.average;
      const loaded = table.map((backend, i) => ({ ...backend, crowd: crowds[i] as Crowd, target }));
      const byName = new Map(table.map((backend) => [backend.name, backend]));
      for (const { name, ...fields } of planBalance(loaded, { margin: 0.2, step: 1_000 }, ring).changes) {
        const { id, shed, weight } = byName.get(name) as Placeable;
        changes.set(id, { shed, weight, ...fields });
      }
      const changed = tableOf(world);
      return gateway.answers(world, changed, rings.of(changed), []);
    },
  };
}

/** Slots are given out anew only where states or weights have changed. */
class Rings {
  #key = '';
  #placed: Ring['placed'] = new Uint16Array();

  of(table: readonly Placeable[]): Ring {
    const key = table.map(({ state, weight }) => `${state} ${weight}`).join();
    if (key !== this.#key) [this.#key, this.#placed] = [key, ringOf(table).placed];
    const shedding = table.filter(({ shed }) => shed > 0).map(({ id }) => id);
    return { placed: this.#placed, moved: nextNotShedding(this.#placed, new Set(shedding)) };
  }
}

/** By which part a measured load is wrong at most. */
const NOISE = 0.02;

function measuredLoads(world: World, at: Uint16Array, noise: Random): number[] {
  const loads = loadsOf(world, at);
  return world.members.map(({ id }) => (loads[id] as number) * (1 + NOISE * (2 * noise() - 1)));
}

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018): each user goes to the first backend
 * clockwise that has room; users have an order, so that where each one is depends on who there is alone. All is
 * reckoned anew, which ends where their updates in place do.
 */
export function boundedLoads(): Way {
  return {
    name: 'bounded loads',
    answer(world) {
      const most = TARGET * world.average;
      const loads = new Float64Array(world.members.length + 1);
      const cost = new Float64Array(world.members.length + 1);
      for (const one of world.members) cost[one.id] = one.cost;
      const { placed } = world.ring;
      return Uint16Array.from(world.activity, (activity, user) => {
        let slot = world.slots[user] as number;
        for (let passed = 0; passed < RING_SLOTS; passed++) {
          const id = placed[slot] as number;
          const load = (loads[id] as number) + activity * (cost[id] as number);
          if (load <= most) {
            loads[id] = load;
            return id;
          }
          slot = (slot + 1) % RING_SLOTS;
        }
        throw new Error('found no room on the whole ring');
      });
    },
  };
}

/** Who is new, or whose backend is down, goes where fewest users are, and stays there. */
export function leastConnections(users: number): Way {
  const at = new Uint16Array(users);
  return {
    name: 'least connections',
    answer(world, renewed) {
      const counts = new Int32Array(world.members.length + 1);
      for (const user of renewed) at[user] = 0;
      for (const id of at) counts[id] = (counts[id] as number) + 1;
      const active = world.members.filter(({ state }) => state === 'active').map(({ id }) => id);
      const isActive = new Uint8Array(world.members.length + 1);
      for (const id of active) isActive[id] = 1;
      const queue = leastFirst(active, counts);
      for (let user = 0; user < at.length; user++) {
        if (isActive[at[user] as number] === 0) at[user] = queue();
      }
      return at.slice();
    },
  };
}

/** Gives out the id with the lowest count, which it raises. Counts that are equal take turns. */
function leastFirst(ids: readonly number[], counts: Int32Array): () => number {
  const byCount = new Map<number, number[]>();
  for (const id of ids) {
    const count = counts[id] as number;
    byCount.set(count, [...(byCount.get(count) ?? []), id]);
  }
  let least = Math.min(...byCount.keys());
  return () => {
    while ((byCount.get(least)?.length ?? 0) === 0) least += 1;
    const id = byCount.get(least)?.pop() as number;
    const next = byCount.get(least + 1);
    if (next === undefined) byCount.set(least + 1, [id]);
    else next.push(id);
    return id;
  };
}
