/**
 * From what backends have now to whose users that is. A backend's measured load is without those it sheds and with those that
 * others shed to it; a plan needs it the other way round. Pure. May be imported by src/gateway and bench.
 */
import { type Ring, SHED_WHOLE } from '../../auth/placement.ts';
import { type Placeable, ringOf } from '../present-answers.ts';
import { type Crowd, EstimatedCrowd } from './crowd.ts';
import { Departures } from './flow.ts';

const NONE: readonly number[] = [];

/**
 * The users of each backend, by its load as measured. How many a backend has that sheds all, is draining or down, can't be
 * seen: those that went elsewhere count as the others' own.
 * @param loads by position, as measured under these sheds and weights
 * @param ring of these backends
 * @param known by position, the users of those whose load tells nothing new; it is not looked at
 */
export function measuredCrowds(
  backends: readonly Placeable[],
  loads: readonly number[],
  ring: Ring = ringOf(backends),
  known: readonly (number | undefined)[] = [],
): Crowd[] {
  const slots = slotsById(ring.placed);
  const crowdOf = (i: number, load: number): Crowd => {
    const { id } = backends[i] as Placeable;
    return new EstimatedCrowd(load, slots.get(id) ?? NONE);
  };
  const departures = new Departures();
  const own = backends.map((backend, i) => {
    const load = known[i] ?? (loads[i] as number);
    if (!isShedding(backend, ring)) return load;
    const all = known[i] ?? (backend.shed < SHED_WHOLE ? load / (1 - backend.shed / SHED_WHOLE) : 0);
    departures.add({ ...backend, crowd: crowdOf(i, all), target: 0 }, backend.shed);
    return Math.max(all, load);
  });
  const received = departures.received(ring.placed);
  return own.map((load, i) => {
    const from = known[i] === undefined ? (received?.[(backends[i] as Placeable).id] ?? 0) : 0;
    return crowdOf(i, Math.max(0, load - from));
  });
}

/** Where all of them shed, nobody is shed. */
function isShedding({ state, shed }: Placeable, { moved }: Ring): boolean {
  return state === 'active' && shed > 0 && moved[0] !== 0;
}

function slotsById(placed: Uint16Array): Map<number, number[]> {
  const slots = new Map<number, number[]>();
  for (const [slot, id] of placed.entries()) {
    const own = slots.get(id);
    if (own === undefined) slots.set(id, [slot]);
    else own.push(slot);
  }
  return slots;
}
