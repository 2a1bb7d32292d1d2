/** One way to balance through the whole of the world's time, and what came of it. May be imported by bench/balance only. */
import { TARGET, type Way } from './ways.ts';
import { type Event, loadsOf, TICKS, World, type WorldOptions } from './world.ts';

/** The world is calm while no backend has more, relative to the average. */
export const CALM = 1.4;

export interface Course {
  readonly name: string;
  /** By tick, load of the fullest backend relative to the average. */
  readonly worst: readonly number[];
  /** By tick, the part of all load that is over what its backend should have, 0 to 1. */
  readonly over: readonly number[];
  /** By tick, users so far that were answered elsewhere than before though their backend worked. */
  readonly moved: readonly number[];
  /** Users answered elsewhere because their backend was down. */
  readonly forced: number;
  readonly calm: readonly { readonly event: Event; readonly ticks: number | null }[];
}

/** @param prepare makes the way, fresh @param ticks of the time, from its beginning */
export function simulate(
  options: WorldOptions,
  prepare: (users: number, seed: number) => Way,
  ticks: number = TICKS,
): Course {
  const world = new World(options);
  const way = prepare(options.users, options.seed);
  const worst: number[] = [];
  const over: number[] = [];
  const moved: number[] = [];
  let forced = 0;
  let before: Uint16Array | undefined;
  for (let tick = 0; tick < ticks; tick++) {
    const renewed = world.next(tick);
    const at = way.answer(world, before === undefined ? Array.from({ length: options.users }, (_, i) => i) : renewed);
    const isNew = new Uint8Array(options.users);
    for (const user of renewed) isNew[user] = 1;
    const isDown = new Uint8Array(world.members.length + 1);
    for (const { id, state } of world.members) if (state === 'down') isDown[id] = 1;
    let more = 0;
    for (let user = 0; before !== undefined && user < at.length; user++) {
      const was = before[user] as number;
      if (isNew[user] === 1 || was === at[user]) continue;
      if (isDown[was] === 1) forced += 1;
      else more += 1;
    }
    moved.push((moved.at(-1) ?? 0) + more);
    const loads = loadsOf(world, at);
    worst.push(Math.max(...loads) / world.average);
    over.push(partOver(loads, TARGET * world.average));
    before = at;
  }
  const calm = world.events.map((event, i) => {
    const until = world.events[i + 1]?.tick ?? ticks;
    return { event, ticks: ticksToCalm(worst.slice(event.tick, until)) };
  });
  return { name: way.name, worst, over, moved, forced, calm };
}

function partOver(loads: Float64Array, most: number): number {
  let all = 0;
  let over = 0;
  for (const load of loads) {
    all += load;
    over += Math.max(0, load - most);
  }
  return over / all;
}

/** How long until it is calm for the first time; null where that never comes. */
function ticksToCalm(worst: readonly number[]): number | null {
  const first = worst.findIndex((value) => value <= CALM);
  return first < 0 ? null : first;
}
