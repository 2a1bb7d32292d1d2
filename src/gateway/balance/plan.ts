/**
 * Which backends must shed how much, so that each comes under its target while the fewest users move. Pure and
 * deterministic. May be imported by src/gateway and bench.
 *
 * 1. Each backend over its target sheds what is over, to a hundredth of a percent: nothing less would do, and nobody else needs to go.
 * 2. Who is shed goes to the next slot of a backend that sheds nobody. One that would so come over its target is made to shed
 *    0.01 %: then it takes nobody, and its share goes on to the next ones. That can only make those fuller, so a backend that would
 *    overflow once would overflow ever after, and in whatever order they are shut, the same ones are in the end.
 * 3. Only where that leaves nobody to take the load are weights changed: they become like the room that is left, so that all
 *    fill up alike. Weights are an operator's, and new users follow them: so never before.
 *
 * Load that has gone lets shed fractions down again, by the same steps: `PlanOptions.margin` keeps them from going up and down.
 */
import { buildRing, nextNotShedding, type Ring, SHED_WHOLE } from '../../auth/placement.ts';
import { BACKEND_WEIGHT_MAX } from '../../sync/limits.ts';
import { ringOf } from '../present-answers.ts';
import { isOver } from './crowd.ts';
import { Departures, type Loaded, loadsUnder, movedBetween } from './flow.ts';

export interface PlanOptions {
  /**
   * Part of the target that must be free, beyond what is needed, before a backend sheds less or takes users again, 0 to
   * less than 1.
   */
  readonly margin: number;
  /** By how much one plan changes a shed fraction at most, hundredths of a percent; `SHED_WHOLE` = no bound. */
  readonly step: number;
}

export interface BackendChange {
  readonly name: string;
  /** Present only where it changes. */
  readonly shed?: number;
  /** Present only where it changes. */
  readonly weight?: number;
}

export interface PlannedLoad {
  readonly name: string;
  readonly target: number;
  /** Under the table as it is. */
  readonly before: number;
  /** Under the plan. */
  readonly after: number;
}

export type Outcome =
  /** All are under their targets, and no shed fraction can be lowered. */
  | 'nothing to do'
  /** All will be under their targets. */
  | 'reached'
  /** Some are still over: bounded steps allow no more for now. */
  | 'on the way'
  /** Some are still over: there is room elsewhere, but not where the ring can send users in parts this fine. */
  | 'not reached'
  /** There is more load than the targets of all active backends allow; nothing is proposed. */
  | 'impossible';

export interface Plan {
  readonly outcome: Outcome;
  readonly changes: readonly BackendChange[];
  readonly loads: readonly PlannedLoad[];
  /** Load that is answered elsewhere than before. */
  readonly moved: number;
  /** Load of all backends. */
  readonly total: number;
  /** What the active backends may have together. */
  readonly capacity: number;
}

/** Sheds and weights, by position in the list of backends. */
interface Candidate {
  readonly sheds: readonly number[];
  readonly weights: readonly number[];
  readonly placed: Uint16Array;
  /** By backend id. */
  readonly loads: Float64Array;
  readonly stepBound: boolean;
}

/** How often weights are corrected by what the ring makes of them. */
const WEIGHT_ROUNDS = 8;
/** Weights are whole numbers: fine enough from this average on. */
const WEIGHT_FINE = 100;
/** A bounded step changes a weight by at most this factor. */
const WEIGHT_STEP = 2;
/** Room smaller than this part of the average is not aimed at: no weight is that fine. */
const ROOM_SMALLEST = 1 / 64;

/**
 * @param backends in any order; ids are unique
 * @param ring of these backends
 */
export function planBalance(backends: readonly Loaded[], options: PlanOptions, ring: Ring = ringOf(backends)): Plan {
  const before = loadsUnder(backends, ring);
  const total = backends.reduce((sum, { crowd }) => sum + crowd.load, 0);
  const capacity = backends.reduce((sum, backend) => sum + capacityOf(backend), 0);
  const present: Candidate = {
    sheds: backends.map(({ shed }) => shed),
    weights: backends.map(({ weight }) => weight),
    placed: ring.placed,
    loads: before,
    stepBound: false,
  };
  const isImpossible = isOver(total, capacity);
  const chosen = isImpossible ? present : choose(backends, present, options);
  const loads = backends.map(({ id, name, target }) => {
    return { name, target, before: before[id] as number, after: chosen.loads[id] as number };
  });
  const changes = changesTo(backends, chosen);
  const outcome = (): Outcome => {
    if (isImpossible) return 'impossible';
    if (worstOver(backends, chosen.loads) > 0) return chosen.stepBound ? 'on the way' : 'not reached';
    return changes.length === 0 ? 'nothing to do' : 'reached';
  };
  const moved =
    changes.length === 0 ? 0 : movedBetween(backends, tableOf(backends, present), tableOf(backends, chosen));
  return { outcome: outcome(), changes, loads, moved, total, capacity };
}

/** A backend without a weight takes nobody, but may keep who it has. */
function capacityOf({ state, weight, target, crowd }: Loaded): number {
  if (state !== 'active') return 0;
  return weight > 0 ? target : Math.min(target, crowd.load);
}

function choose(backends: readonly Loaded[], present: Candidate, { margin, step }: PlanOptions): Candidate {
  const tries = [
    () => shedOnly(backends, present, { margin, step }),
    // Where room is short, it is used to the last.
    () => shedOnly(backends, present, { margin: 0, step }),
    () => withWeights(backends, present, { margin: 0, step }),
  ];
  let best = present;
  let bestOver = worstOver(backends, present.loads);
  for (const attempt of tries) {
    const candidate = attempt();
    if (candidate === undefined) continue;
    const over = worstOver(backends, candidate.loads);
    // On the way there is no better than the first step.
    if (over === 0 || (candidate.stepBound && over < bestOver)) return candidate;
    if (over < bestOver) [best, bestOver] = [candidate, over];
  }
  return best;
}

/** By which part of its target the fullest active backend is over; 0 = none is. */
function worstOver(backends: readonly Loaded[], loads: Float64Array): number {
  let worst = 0;
  for (const { id, state, target } of backends) {
    const load = loads[id] as number;
    if (state === 'active' && isOver(load, target)) worst = Math.max(worst, (load - target) / Math.max(target, 1e-9));
  }
  return worst;
}

/** Shed fractions while a plan is made. */
class Sheds {
  readonly values: number[];
  readonly departures = new Departures();
  stepBound = false;
  readonly #backends: readonly Loaded[];
  readonly #options: PlanOptions;

  constructor(backends: readonly Loaded[], options: PlanOptions) {
    this.#backends = backends;
    this.#options = options;
    this.values = backends.map((backend) => this.#within(backend, 0));
    for (const [i, backend] of backends.entries()) this.departures.add(backend, this.values[i] as number);
  }

  /** What a backend may have while it takes users; to begin with it again, some room must be free. */
  mostWhileTaking({ shed, target }: Loaded): number {
    return shed > 0 ? target * (1 - this.#options.margin) : target;
  }

  /** Makes a backend that sheds nobody shed as little as can be, so that it takes nobody. */
  shut(i: number): void {
    const backend = this.#backends[i] as Loaded;
    this.values[i] = this.#within(backend, 1);
    this.departures.add(backend, this.values[i]);
  }

  /** The present fraction, as long as it is neither too little nor too much; bounded by the step. */
  #within({ state, shed, target, crowd }: Loaded, least: number): number {
    if (state !== 'active') return shed;
    const low = Math.max(least, crowd.shedFor(target));
    const high = Math.max(low, crowd.shedFor(target * (1 - this.#options.margin)));
    const wanted = Math.min(Math.max(shed, low), high);
    const { step } = this.#options;
    const bounded = Math.min(Math.max(wanted, shed - step), shed + step);
    if (bounded !== wanted) this.stepBound = true;
    return bounded;
  }
}

/** Steps 1 and 2. @returns undefined where nobody is left to take the load */
function shedOnly(
  backends: readonly Loaded[],
  { weights, placed }: Candidate,
  options: PlanOptions,
): Candidate | undefined {
  const sheds = new Sheds(backends, options);
  // Each turn shuts at least one.
  for (let turn = 0; turn <= backends.length; turn++) {
    const loads = sheds.departures.loads(placed);
    if (loads === undefined) return undefined;
    let shut = 0;
    for (const [i, backend] of backends.entries()) {
      if (backend.state !== 'active' || sheds.values[i] !== 0) continue;
      if (!isOver(loads[backend.id] as number, sheds.mostWhileTaking(backend))) continue;
      sheds.shut(i);
      shut += 1;
    }
    if (shut === 0) return { sheds: sheds.values, weights, placed, loads, stepBound: sheds.stepBound };
  }
  return undefined;
}

/** Step 3. @returns undefined where no backend has room */
function withWeights(backends: readonly Loaded[], present: Candidate, options: PlanOptions): Candidate | undefined {
  const sheds = new Sheds(backends, options);
  const room = backends.map((backend, i) => {
    const takes = backend.state === 'active' && backend.weight > 0 && sheds.values[i] === 0;
    return takes ? Math.max(0, sheds.mostWhileTaking(backend) - backend.crowd.load) : 0;
  });
  const roomy = room.filter((free) => free > 0);
  const smallest = (ROOM_SMALLEST * sum(roomy)) / roomy.length;
  for (const [i, backend] of backends.entries()) {
    if (backend.state !== 'active' || sheds.values[i] !== 0 || (room[i] as number) > smallest) continue;
    room[i] = 0;
    sheds.shut(i);
  }
  if (!room.some((free) => free > 0)) return undefined;

  const fineWeights = finer(present.weights, room);
  let wished = share(sum(fineWeights.filter((_, i) => (room[i] as number) > 0)), room, fineWeights);
  let best: Candidate | undefined;
  for (let round = 0; round < WEIGHT_ROUNDS; round++) {
    const allowed =
      options.step < SHED_WHOLE ? wished.map((weight, i) => near(weight, fineWeights[i] as number)) : wished;
    const weights = whole(allowed);
    const { placed } = buildRing(
      backends.map(({ id, name, state }, i) => {
        return { id, name, active: state === 'active', weight: weights[i] as number, shed: 0 };
      }),
    );
    const loads = sheds.departures.loads(placed);
    if (loads === undefined) return best;
    const stepBound = sheds.stepBound || allowed.some((weight, i) => weight !== wished[i]);
    const candidate = { sheds: sheds.values, weights, placed, loads, stepBound };
    if (best === undefined || worstOver(backends, loads) < worstOver(backends, best.loads)) best = candidate;
    if (worstOver(backends, best.loads) === 0) return best;
    wished = corrected(
      wished,
      room,
      backends.map(({ id, crowd }) => (loads[id] as number) - crowd.load),
    );
  }
  return best;
}

/** All by the same factor, which changes no place, so that the weights of those who have room are fine enough. */
function finer(weights: readonly number[], room: readonly number[]): number[] {
  const taking = weights.filter((_, i) => (room[i] as number) > 0);
  const factor = Math.max(1, Math.ceil((WEIGHT_FINE * taking.length) / sum(taking)));
  return weights.map((weight) => weight * factor);
}

/** `whole` among those with room, by their room; the others keep theirs. */
function share(all: number, room: readonly number[], weights: readonly number[]): number[] {
  const free = sum(room);
  return weights.map((weight, i) => ((room[i] as number) > 0 ? (all * (room[i] as number)) / free : weight));
}

/** More weight for who got less of its room than the others did, and the other way round. */
function corrected(weights: readonly number[], room: readonly number[], received: readonly number[]): number[] {
  const taken = received.map((load, i) => ((room[i] as number) > 0 ? load : 0));
  const fill = sum(taken) / sum(room);
  return weights.map((weight, i) => {
    if ((room[i] as number) === 0) return weight;
    const filled = (taken[i] as number) / (room[i] as number);
    return weight * near(filled === 0 ? WEIGHT_STEP : fill / filled, 1);
  });
}

/** At most by `WEIGHT_STEP` from `from`. */
function near(value: number, from: number): number {
  return Math.min(Math.max(value, from / WEIGHT_STEP), from * WEIGHT_STEP);
}

/** Integers from 1 (0 stays 0) to the most that a weight can be. */
function whole(weights: readonly number[]): number[] {
  const factor = Math.min(1, BACKEND_WEIGHT_MAX / Math.max(1, ...weights));
  return weights.map((weight) => (weight === 0 ? 0 : Math.max(1, Math.round(weight * factor))));
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

function changesTo(backends: readonly Loaded[], { sheds, weights }: Candidate): BackendChange[] {
  return backends.flatMap(({ name, state, shed, weight }, i): BackendChange[] => {
    if (state !== 'active') return [];
    const change: { shed?: number; weight?: number } = {};
    if (sheds[i] !== shed) change.shed = sheds[i] as number;
    if (weights[i] !== weight) change.weight = weights[i] as number;
    return Object.keys(change).length === 0 ? [] : [{ name, ...change }];
  });
}

function tableOf(
  backends: readonly Loaded[],
  { sheds, placed }: Candidate,
): { ring: Ring; shedOf: (backend: Loaded) => number } {
  const shedding = backends.flatMap(({ id }, i) => ((sheds[i] as number) > 0 ? [id] : []));
  const moved = nextNotShedding(placed, new Set(shedding));
  const byId = new Map(backends.map(({ id }, i) => [id, sheds[i] as number]));
  return { ring: { placed, moved }, shedOf: ({ id }) => (moved[0] === 0 ? 0 : (byId.get(id) ?? 0)) };
}
