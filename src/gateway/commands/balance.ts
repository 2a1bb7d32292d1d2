/**
 * `gateway balance`: brings every backend under a target load by shedding as few users as can be (docs/moving-users.md, "Balance").
 * May be imported by src/gateway only.
 */
import { type Command, Option } from 'commander';
import type { Round } from '../balance/balancer.ts';
import { loadText } from '../balance/load-text.ts';
import type { LoadSource } from '../balance/loads.ts';
import { failure, type GatewayError } from '../errors.ts';
import type { BackendViews } from '../ports.ts';
import { durationMs, hundredths } from './arguments.ts';
import { addCommand, type ConfigOption, interruptible, type JsonOption, print, printJson } from './common.ts';
import { withDirectory } from './directory.ts';
import { listing, NO_BACKENDS, printable } from './text.ts';

interface BalanceOptions extends ConfigOption, JsonOption {
  readonly target: readonly string[];
  readonly by: LoadSource;
  readonly apply?: boolean;
  readonly watch?: boolean;
  readonly every: number;
  readonly margin: number;
  readonly step?: number;
}

const MARGIN = 2_000;
const WATCH_STEP = 1_000;
const WHOLE = 10_000;
const EVERY_MAX_MS = 86_400_000;
/** Rows of backends that stay as they are and have room are left out of longer tables. */
const ROWS_MAX = 40;

export function addBalance(program: Command): void {
  addCommand(program, 'balance', {
    description: 'Propose what backends must shed so that each comes under a target load, and do it if asked.',
    notes:
      "Needs no daemon but with --by lookups. Who applies holds a lock in Redis, so that one does; with --watch others stand by. Exit status 1 if a target can't be reached.",
    example: [
      'gateway balance --target 125% --by sessions',
      'gateway balance --target 1000 --target big-1=4000 --by reported --watch',
    ],
  })
    .requiredOption(
      '--target <load>',
      'most load of a backend, as 1000, or 125% of the average; again as NAME=LOAD for one that differs',
      (text: string, all: readonly string[] | undefined) => [...(all ?? []), text],
    )
    .addOption(
      new Option('--by <load>', 'stored sessions; what backends report in Redis; or lookups a second, for advice only')
        .choices(['sessions', 'reported', 'lookups'])
        .default('sessions'),
    )
    .option('--apply', 'do it, once')
    .option('--watch', 'do it again and again, until interrupted')
    .addOption(
      new Option('--every <time>', 'with --watch: the pause between two rounds')
        .argParser(durationMs)
        .default(10_000, '10s'),
    )
    .addOption(
      new Option(
        '--margin <percent>',
        'part of the target that must be free before a backend sheds less or takes users again',
      )
        .argParser(hundredths)
        .default(MARGIN, '20'),
    )
    .option(
      '--step <percent>',
      'most by which one round changes what a backend sheds (10 with --watch, else 100)',
      hundredths,
    )
    .action(balance);
}

async function balance(options: BalanceOptions): Promise<void> {
  const { parseTargets } = await import('../balance/targets.ts');
  const { Balancer, shortcoming } = await import('../balance/balancer.ts');
  const { systemRuntime } = await import('../../sync/runtime.ts');
  const { by, apply = false, watch = false, json = false, every, margin } = options;
  const targets = parseTargets(options.target);
  const step = options.step ?? (watch ? WATCH_STEP : WHOLE);
  requireUsable(options, step);
  const work = (signal: AbortSignal): Promise<void> =>
    withDirectory(options.config, async (directory, { sessions, redis, control }) => {
      const balancer = new Balancer(
        {
          directory,
          withRedis: (action) => directory.use(action),
          sessions,
          names: redis.names,
          views: () => viewsOf(control.socket),
          runtime: systemRuntime,
        },
        { by, targets, margin: margin / WHOLE, step },
      );
      if (watch) {
        const shown = (round: Round): void => {
          print(json ? JSON.stringify(roundJson(round, true)) : watchLine(round));
          tell(shortcoming(round.plan));
        };
        const standsBy = (): void =>
          void process.stderr.write('gateway: another balancer works: standing by, to take over when it has ended\n');
        await balancer.watch(every, signal, shown, tell, standsBy);
        return;
      }
      const round = apply ? await balancer.apply(signal) : await balancer.plan(signal);
      if (json) printJson(roundJson(round, apply));
      else print(roundText(round, apply, process.stdout.columns));
      const short = shortcoming(round.plan);
      if (short !== undefined) throw short;
    });
  await interruptible(work, failure('BALANCE_STOPPED', {}));
}

function requireUsable({ by, apply, watch, every, margin }: BalanceOptions, step: number): void {
  const help = 'gateway balance';
  if (by === 'lookups' && (apply || watch)) {
    const problem =
      'found --by lookups with --apply or --watch; allowed is advice only: requests that somebody captured and replays count too, and would steer users; use --by sessions or --by reported';
    throw failure('USAGE_INVALID', { problem, help });
  }
  if (apply && watch) throw failure('USAGE_INVALID', { problem: 'found both --apply and --watch, allowed: one', help });
  if (step === 0) throw failure('USAGE_INVALID', { problem: '--step: found 0, allowed: 0.01 to 100', help });
  if (every > EVERY_MAX_MS)
    throw failure('USAGE_INVALID', { problem: '--every: found more than a day, allowed: up to 1d', help });
  if (margin === WHOLE) throw failure('USAGE_INVALID', { problem: '--margin: found 100, allowed: 0 to 99.99', help });
}

async function viewsOf(socket: string): Promise<BackendViews> {
  const { askDaemon } = await import('../control/client.ts');
  return (await askDaemon(socket, { method: 'GET', path: '/v1/backends' })) as BackendViews;
}

function tell(error: GatewayError | undefined): void {
  if (error !== undefined) process.stderr.write(`gateway: ${error.code}: ${error.message}\n`);
}

function roundJson({ plan, faults }: Round, applied: boolean): object {
  return { ...plan, applied, faults };
}

/** What is proposed or done, as a table and a sentence. @param columns width of the terminal, where it is one */
export function roundText({ plan, backends, faults }: Round, applied: boolean, columns?: number): string {
  if (backends.length === 0 && faults.length === 0) return NO_BACKENDS;
  const changes = new Map(plan.changes.map((change) => [change.name, change]));
  const rows = backends.map(({ name, state, shed, weight }, i) => {
    const load = plan.loads[i];
    const change = changes.get(name);
    const isOfInterest = change !== undefined || (load !== undefined && load.after > load.target);
    const cells = [
      printable(name),
      state,
      loadText(load?.before ?? 0),
      loadText(load?.after ?? 0),
      loadText(load?.target ?? 0),
      change?.shed === undefined ? percent(shed) : `${percent(shed)} -> ${percent(change.shed)}`,
      change?.weight === undefined ? String(weight) : `${weight} -> ${change.weight}`,
    ];
    return { isOfInterest, cells };
  });
  const shown = rows.filter(({ isOfInterest }) => rows.length <= ROWS_MAX || isOfInterest).map(({ cells }) => cells);
  const lines = [listing(['NAME', 'STATE', 'LOAD', 'THEN', 'TARGET', 'SHED', 'WEIGHT'], shown, columns)];
  if (shown.length < rows.length) lines.push(`and ${rows.length - shown.length} more, which stay as they are`);
  for (const { name, message } of faults)
    lines.push(`left out, wrong in Redis: ${printable(name)}: ${printable(message)}`);
  lines.push('', sentence(plan, applied));
  return lines.join('\n');
}

function sentence({ outcome, changes, moved, total }: Round['plan'], applied: boolean): string {
  if (outcome === 'nothing to do') return 'nothing to do';
  if (changes.length === 0) return `${outcome}: nothing is ${applied ? 'changed' : 'proposed'}`;
  const part = total === 0 ? 0 : (100 * moved) / total;
  const what = `${outcome}: ${changes.length} ${changes.length === 1 ? 'backend' : 'backends'} ${applied ? 'changed' : 'to change'}, ${part.toFixed(2)} % of the load moves`;
  return applied ? what : `${what}; do it with --apply`;
}

/** One line a round. */
export function watchLine({ plan }: Round): string {
  const fullest = plan.loads.reduce((most, { before, target }) => Math.max(most, before / target), 0);
  const changes = plan.changes.map(({ name, shed, weight }) => {
    const parts = [shed === undefined ? '' : `shed ${percent(shed)}`, weight === undefined ? '' : `weight ${weight}`];
    return `${printable(name)} ${parts.filter((part) => part !== '').join(', ')}`;
  });
  const listed = changes.slice(0, ROWS_MAX).join('; ');
  return `${plan.outcome}: fullest at ${(100 * fullest).toFixed(1)} % of its target${listed === '' ? '' : `; ${listed}`}`;
}

function percent(shed: number): string {
  return `${shed / 100} %`;
}
