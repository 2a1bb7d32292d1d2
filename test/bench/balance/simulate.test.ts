import { describe, expect, test } from 'vitest';
import { simulate } from '../../../bench/balance/simulate.ts';
import { lineChart } from '../../../bench/balance/svg.ts';
import { boundedLoads, leastConnections, nothing, shedding, TARGET, type Way } from '../../../bench/balance/ways.ts';
import { loadsOf, World } from '../../../bench/balance/world.ts';

const SMALL = { seed: 5, backends: 20, users: 2_000 };
const TICKS = 60;
const WAYS: readonly ((users: number, seed: number) => Way)[] = [nothing, leastConnections, boundedLoads, shedding];

describe.each(WAYS.map((way) => [way(1, 1).name, way] as const))('%s', (_, way) => {
  test('answers every user with a backend that works, and the same ones for the same seed', () => {
    const run = (): Uint16Array[] => {
      const world = new World(SMALL);
      const one = way(SMALL.users, SMALL.seed);
      const all = Array.from({ length: SMALL.users }, (_, i) => i);
      return Array.from({ length: TICKS }, (_, tick) => {
        const renewed = world.next(tick);
        const at = one.answer(world, tick === 0 ? all : renewed);
        const active = new Set(world.members.filter(({ state }) => state === 'active').map(({ id }) => id));
        expect([...new Set(at)].every((id) => active.has(id))).toBe(true);
        return at;
      });
    };
    expect(run()).toEqual(run());
  });
});

test('bounded loads keep their bound, and balancing ends below where doing nothing is', () => {
  const course = (way: (users: number, seed: number) => Way) => simulate(SMALL, way, TICKS);
  expect(Math.max(...course(boundedLoads).worst)).toBeLessThanOrEqual(TARGET + 1e-9);
  const [idle, balanced] = [course(nothing), course(shedding)];
  expect(balanced.worst[39]).toBeLessThan(idle.worst[39] as number);
  expect(idle.moved[39]).toBe(0);
  // Two of twenty or one: whoever was there had to go.
  expect(idle.forced).toBeGreaterThan(0);
  expect(course(leastConnections).moved.at(-1)).toBe(0);
});

test('loads are the activity of the users, times the cost of the backend', () => {
  const world = new World(SMALL);
  const loads = loadsOf(world, new Uint16Array(SMALL.users).fill(3));
  expect(loads[3]).toBeCloseTo(world.average * SMALL.backends, 9);
});

test('a chart is SVG that parses, with every series and all text made safe', () => {
  const svg = lineChart({
    title: 'a < b & "c"',
    xLabel: 'x',
    yLabel: 'y',
    xStep: 1,
    xTick: 1,
    yMax: 2,
    yTick: 1,
    series: [
      { name: 'one', values: [0, 1, 5] },
      { name: 'two', values: [] },
    ],
    marks: [{ at: 1, text: 'mark' }],
    level: { at: 1, text: 'level' },
  });
  expect(svg.match(/<polyline/g)).toHaveLength(2);
  expect(svg).toContain('a &lt; b &amp; &quot;c&quot;');
  // What is over the axis is cut off at its top.
  expect(svg).toMatch(/points="70\.0,306\.0 455\.0,181\.0 840\.0,56\.0"/);
  const opened = svg.match(/<(\w+)[^>]*[^/]>/g)?.length;
  expect(svg.match(/<\/\w+>/g)).toHaveLength(opened as number);
  expect(svg).not.toMatch(/NaN|undefined/);
});
