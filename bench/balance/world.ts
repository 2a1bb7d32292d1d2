/**
 * The world of the simulation: backends that fail, come back, join and slow down, and users that come and go. It is the same for
 * every way to balance, and all at random comes from one seed. May be imported by bench/balance only.
 *
 * A user's activity follows the law of Zipf and Mandelbrot, 1 / (rank + shift): the shift keeps a single user below what a
 * backend can have, since nobody could balance that. A backend's load is the activity of its users, times its cost.
 */
import { RING_SLOTS, type Ring, SHED_WHOLE } from '../../src/auth/placement.ts';
import { type Placeable, ringOf } from '../../src/gateway/present-answers.ts';
import { below, type Random, seeded } from './random.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly backends: number;
  readonly users: number;
}

/** 10 s each. */
export const TICKS = 400;
export const TICK_S = 10;
/** Part of the users that end and are others from then on, each tick. */
const CHURN = 0.003;
/** Shift of the law, as part of the users. */
const SHIFT = 0.01;

export interface Event {
  readonly tick: number;
  readonly what: string;
}

const FAIL_AT = 40;
const RETURN_AT = 110;
const JOIN_AT = 170;
const SLOW_AT = 240;
const FAST_AT = 320;
/** Which part of the backends. */
const FAILING = 0.05;
const JOINING = 0.1;
const SLOWING = 0.02;
/** What slow ones cost. */
const SLOW_COST = 2;

export interface Member extends Placeable {
  state: 'active' | 'down';
  weight: number;
  shed: number;
  cost: number;
}

export class World {
  readonly events: readonly Event[];
  readonly members: Member[];
  readonly slots: Uint32Array;
  readonly ranks: Uint16Array;
  readonly activity: Float64Array;
  readonly #random: Random;
  readonly #failing: number;
  readonly #slowing: number;
  #ring: Ring;
  #total = 0;

  constructor({ seed, backends, users }: WorldOptions) {
    this.#random = seeded(seed);
    this.members = Array.from({ length: backends }, (_, i) => member(i + 1));
    this.slots = new Uint32Array(users);
    this.ranks = new Uint16Array(users);
    this.activity = new Float64Array(users);
    for (let user = 0; user < users; user++) {
      this.#renew(user);
      this.activity[user] = 1 / (user + 1 + SHIFT * users);
      this.#total += this.activity[user] as number;
    }
    this.#failing = Math.ceil(backends * FAILING);
    this.#slowing = Math.ceil(backends * SLOWING);
    this.#ring = ringOf(this.members);
    this.events = [
      { tick: FAIL_AT, what: `${this.#failing} fail` },
      { tick: RETURN_AT, what: 'they are back' },
      { tick: JOIN_AT, what: `${Math.ceil(backends * JOINING)} join` },
      { tick: SLOW_AT, what: `${this.#slowing} slow` },
      { tick: FAST_AT, what: 'fast again' },
    ];
  }

  /** Of the members as they are, all of weight 100 and shedding nobody. */
  get ring(): Ring {
    return this.#ring;
  }

  /** Load of an active backend if all had the same, at a cost of 1. */
  get average(): number {
    return this.#total / this.members.filter(({ state }) => state === 'active').length;
  }

  /** @returns the users that are others from now on */
  next(tick: number): number[] {
    const count = this.members.length;
    if (tick === FAIL_AT || tick === RETURN_AT) {
      for (const one of this.members.slice(0, this.#failing)) one.state = tick === FAIL_AT ? 'down' : 'active';
    }
    if (tick === JOIN_AT) {
      for (let i = 0; i < Math.ceil(count * JOINING); i++) this.members.push(member(count + i + 1));
    }
    if (tick === SLOW_AT || tick === FAST_AT) {
      const slow = this.members.slice(this.#failing, this.#failing + this.#slowing);
      for (const one of slow) one.cost = tick === SLOW_AT ? SLOW_COST : 1;
    }
    if (tick === FAIL_AT || tick === RETURN_AT || tick === JOIN_AT) this.#ring = ringOf(this.members.map(plain));
    const renewed = Array.from({ length: Math.round(this.slots.length * CHURN) }, () => {
      return below(this.#random, this.slots.length);
    });
    for (const user of renewed) this.#renew(user);
    return renewed;
  }

  #renew(user: number): void {
    this.slots[user] = below(this.#random, RING_SLOTS);
    this.ranks[user] = below(this.#random, SHED_WHOLE);
  }
}

function member(id: number): Member {
  return { id, name: `backend-${id}`, state: 'active', weight: 100, shed: 0, cost: 1 };
}

function plain({ id, name, state }: Member): Placeable {
  return { id, name, state, weight: 100, shed: 0 };
}

/** By backend id, the load of users that are answered as `at` says. */
export function loadsOf({ members, activity }: World, at: Uint16Array): Float64Array {
  const loads = new Float64Array(members.length + 1);
  for (const [user, id] of at.entries()) loads[id] = (loads[id] as number) + (activity[user] as number);
  for (const { id, cost } of members) loads[id] = (loads[id] as number) * cost;
  return loads;
}
