/**
 * `npm run bench -- balance [--seed S] [--backends N] [--users N] [--plots FOLDER]`: ways to balance, each through the same hour and
 * more of backends that fail, come back, join and slow down, and users that come and go. No Redis, no kernel: the planner, the ring and the rule by
 * which the kernel answers, over users that are made up. The same seed gives the same figures on any machine.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { integer, programOptions } from '../../scripts/program-options.ts';
import { CALM, type Course, simulate } from './simulate.ts';
import { type Chart, lineChart } from './svg.ts';
import { boundedLoads, leastConnections, nothing, shedding, TARGET, type Way } from './ways.ts';
import { TICK_S, TICKS } from './world.ts';

const values = programOptions(
  'npm run bench -- balance',
  'Ways to balance, each through the same hour: a simulation.',
  {
    seed: { type: 'string', default: '1', value: 'S', about: 'the same seed gives the same figures' },
    backends: { type: 'string', default: '2000', value: 'N', about: 'backends' },
    users: { type: 'string', default: '300000', value: 'N', about: 'users' },
    plots: { type: 'string', value: 'FOLDER', about: 'write SVG there' },
  },
);
const options = {
  seed: integer('seed', values.seed, 0, 2 ** 31 - 1),
  backends: integer('backends', values.backends, 20, 20_000),
  users: integer('users', values.users, 1_000, 5_000_000),
};
const WAYS: readonly ((users: number, seed: number) => Way)[] = [nothing, leastConnections, boundedLoads, shedding];

/** Two tables of Markdown, as docs/benchmarks.md has them. */
function report(courses: readonly Course[]): string {
  const figures = courses.map(({ name, worst, over, moved, forced }) => [
    name,
    `${Math.max(...worst).toFixed(2)}`,
    `${mean(worst).toFixed(2)}`,
    `${(100 * mean(over)).toFixed(2)} %`,
    (moved.at(-1) ?? 0).toLocaleString('en-US'),
    forced.toLocaleString('en-US'),
  ]);
  const head = [
    '',
    'fullest, at worst',
    'fullest, mean',
    'load over target',
    'users moved',
    'moved since theirs was down',
  ];
  const events = courses[0]?.calm.map(({ event }) => event.what) ?? [];
  const calm = courses.map(({ name, calm }) => {
    return [name, ...calm.map(({ ticks }) => (ticks === null ? 'never' : `${ticks * TICK_S} s`))];
  });
  return `${markdown([head, ...figures])}\n\n${markdown([['calm after', ...events], ...calm])}`;
}

function markdown([head = [], ...rows]: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function plots(courses: readonly Course[], folder: string): void {
  const marks = courses[0]?.calm.map(({ event }) => ({ at: event.tick, text: event.what })) ?? [];
  const shared = { xLabel: 'minutes', xStep: TICK_S / 60, xTick: 10, marks };
  const mostMoved = Math.max(...courses.map(({ moved }) => moved.at(-1) ?? 0));
  const charts: Record<string, Chart> = {
    'balance-overload.svg': {
      ...shared,
      title: 'The fullest backend',
      yLabel: 'load, relative to the average',
      yMin: 1,
      yMax: 3.5,
      yTick: 0.5,
      level: { at: TARGET, text: `target ${TARGET}` },
      series: courses.map(({ name, worst }) => ({ name, values: worst })),
    },
    'balance-moved.svg': {
      ...shared,
      title: 'Users moved though their backend worked',
      yLabel: 'users so far; each line is ten times the one below',
      yMax: Math.ceil(Math.log10(1 + mostMoved)),
      yTick: 1,
      yText: (power) => (power === 0 ? '0' : (10 ** power).toLocaleString('en-US', { notation: 'compact' })),
      series: courses.map(({ name, moved }) => ({ name, values: moved.map((count) => Math.log10(1 + count)) })),
    },
  };
  for (const [file, chart] of Object.entries(charts)) writeFileSync(join(folder, file), lineChart(chart));
}

const courses = WAYS.map((way) => {
  const startedMs = performance.now();
  const course = simulate(options, way);
  console.error(`${course.name}: simulated in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  return course;
});
console.log(
  `${options.backends} backends, ${options.users} users, seed ${options.seed}, ${Math.round((TICKS * TICK_S) / 60)} minutes; loads relative to the average; calm: no backend over ${CALM}\n`,
);
console.log(report(courses));
if (values.plots !== undefined) plots(courses, values.plots);
