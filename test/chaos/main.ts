/**
 * `npm run chaos -- --minutes N --seed S`: random faults under load, on network namespaces of its own; prints a line for each
 * fault and a table by kind, and exits 1 where Redis and kernel differed or a lookup stayed unanswered or was answered wrongly.
 */
import { parseArgs } from 'node:util';
import { FAULTS } from './faults.ts';
import { isGood, table } from './report.ts';
import { runChaos } from './run.ts';

const USAGE = `usage: npm run chaos -- [--minutes N] [--seed S] [--faults N] [--first N] [--only NAME,…] [--from stream|notifications]

  --minutes N   how long to go on, 5 unless told
  --seed S      the same seed gives the same faults in the same order; drawn unless told
  --faults N    at most so many faults
  --first N     begin with the Nth fault of that seed, to see one again
  --only NAME   only faults of these names, separated by commas
  --from FROM   how the gateway follows Redis: stream unless told

names: ${FAULTS.map(({ name }) => name).join(', ')}`;

function fail(message: string): never {
  process.stderr.write(`${message}\n\n${USAGE}\n`);
  process.exit(2);
}

function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text === '' || !Number.isFinite(value) || value < 0) fail(`--${name}: found ${text}, allowed: a number from 0`);
  return value;
}

function options() {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      options: {
        minutes: text,
        seed: text,
        faults: text,
        first: text,
        only: text,
        from: text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

const given = options();
if (given.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit(0);
}
if (process.geteuid?.() !== 0) fail('needs root, for network namespaces and XDP programs: try again with sudo');
const from = given.from ?? 'stream';
if (from !== 'stream' && from !== 'notifications') fail(`--from: found ${from}, allowed: stream, notifications`);
const only = (given.only ?? '').split(',').filter((name) => name !== '');
const names = FAULTS.map(({ name }) => name);
for (const name of only) if (!names.includes(name)) fail(`--only: found ${name}, allowed: the names below`);
const seed = number('seed', given.seed, Math.floor(Math.random() * 1e9));
const minutes = number('minutes', given.minutes, 5);

// The fault under way comes to its end first, so that nothing that it started stays behind.
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort(new Error(signal)));

process.stdout.write(`seed ${seed}, ${minutes} minutes, following Redis by ${from}\n`);
const results = await runChaos({
  seed,
  from,
  minutes,
  first: number('first', given.first, 1),
  faults: number('faults', given.faults, Number.MAX_SAFE_INTEGER),
  only,
  say: (line) => void process.stdout.write(`${line}\n`),
  signal: interrupted.signal,
}).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
const bad = results.filter((result) => !isGood(result));
process.stdout.write(`\n${table(results)}\n\n`);
process.stdout.write(
  bad.length === 0
    ? `${results.length} faults: after each, Redis and kernel were the same, and no lookup was unanswered or wrong\n`
    : `seed ${seed}: not as promised after fault ${bad.map(({ number }) => number).join(', ')}\n`,
);
process.exit(bad.length === 0 && results.length > 0 ? 0 : 1);
