/**
 * `gateway trace`: packets as they come, and what became of them. May be imported by src/gateway only.
 */
import { type Command, InvalidArgumentError } from 'commander';
import type { TraceEvent, VerdictName } from '../ports.ts';
import { isVerdictName, VERDICT_NAMES } from '../verdict-names.ts';
import { durationMs } from './arguments.ts';
import { addCommand, type ConfigOption, integer, interruptible, type JsonOption, print } from './common.ts';
import { number } from './text.ts';

interface Options extends ConfigOption, JsonOption {
  readonly verdict?: readonly VerdictName[];
  readonly key?: number;
  readonly source?: string;
  readonly sample?: number;
  readonly count?: number;
  readonly for?: number;
}

const KEY_ID_MAX = 0xffff_ffff;
const SAMPLE_MAX = 999_999_999;
const COUNT_MAX = 999_999_999;

export function addTrace(program: Command): void {
  addCommand(program, 'trace', {
    description: 'Show packets as they come to the gateway, and what becomes of them, until Ctrl-C.',
    notes:
      'A line each: when it came, from where, the key, what was asked, the first 4 bytes of the (first) hash, the verdict, and how long the ' +
      'kernel took. What a packet says is shown as it says it: only answered ones are known to be genuine. The rest of a hash is not shown, ' +
      'since with a key it is all that one needs to ask for a session; of a session id that you have, the same 8 digits are the start of ' +
      '"printf %s SID | sha256sum". The filters are applied in the kernel; packets that came faster than they were read are counted. One can ' +
      'watch at a time; it costs the gateway nothing while nobody does. With --json an object each, {"lost": N} for packets that were too many.',
    example: 'gateway trace --verdict DROP --sample 1/100 --for 10s',
  })
    .option(
      '--verdict <names>',
      'only these, with commas between: a verdict of "gateway status --json", or how several begin, as DROP or REPLY',
      verdicts,
    )
    .option('--key <id>', 'only packets that name this key', integer(1, KEY_ID_MAX))
    .option('--source <network>', 'only from this IP address, or network as 192.0.2.0/24')
    .option('--sample <1/N>', 'look at one packet in N, by chance', sample)
    .option('--count <number>', 'end after so many packets', integer(1, COUNT_MAX))
    .option('--for <time>', 'end after this time, as 10s or 5m', durationMs)
    .action(async (options: Options) => {
      await interruptible((signal) => trace(options, signal));
    });
}

async function trace({ config, json = false, ...options }: Options, interrupted: AbortSignal): Promise<void> {
  const [{ loadConfig }, { followDaemon }] = await Promise.all([
    import('../config.ts'),
    import('../control/event-client.ts'),
  ]);
  const enough = new AbortController();
  const signals = [interrupted, enough.signal];
  if (options.for !== undefined) signals.push(AbortSignal.timeout(options.for));
  let left = options.count ?? Number.POSITIVE_INFINITY;
  const { socket } = loadConfig(config).control;
  const take = (type: string, data: unknown): void => {
    if (type === 'lost') {
      const { events } = data as { events: number };
      if (json) print(JSON.stringify({ lost: events }));
      else process.stderr.write(`${number(events)} packets came faster than they were read: --sample shows fewer\n`);
    }
    if (type !== 'packet' || left <= 0) return;
    left -= 1;
    print(json ? JSON.stringify(data) : packetText(data as TraceEvent));
    if (left <= 0) enough.abort();
  };
  const opened = (): void => {
    if (!json) print(HEADING);
  };
  await followDaemon(socket, `/v1/trace${query(options)}`, AbortSignal.any(signals), take, opened);
}

function query({ verdict, key, source, sample }: Options): string {
  const parameters = new URLSearchParams();
  if (verdict !== undefined) parameters.set('verdict', verdict.join(','));
  if (key !== undefined) parameters.set('key', String(key));
  if (source !== undefined) parameters.set('source', source);
  if (sample !== undefined) parameters.set('sample', String(sample));
  return parameters.size === 0 ? '' : `?${parameters}`;
}

/** @throws InvalidArgumentError */
function verdicts(text: string): VerdictName[] {
  const named = text
    .toUpperCase()
    .split(',')
    .flatMap((name) => {
      if (isVerdictName(name)) return [name];
      const several = VERDICT_NAMES.filter((verdict) => verdict.startsWith(`${name}_`));
      if (several.length === 0) throw new InvalidArgumentError(`Allowed: ${VERDICT_NAMES.join(', ')}.`);
      return several;
    });
  return [...new Set(named)];
}

/** @throws InvalidArgumentError */
function sample(text: string): number {
  const [, digits = ''] = /^(?:1\/)?(\d{1,9})$/.exec(text) ?? [];
  const value = Number(digits);
  if (digits === '' || value < 1) throw new InvalidArgumentError(`Allowed: 1/N, with N from 1 to ${SAMPLE_MAX}.`);
  return value;
}

const WIDTHS = [12, 22, 10, 9, 8, 17, 11] as const;
const HEADING = columns(['TIME', 'FROM', 'KEY', 'ASKS', 'HASH', 'VERDICT', 'TOOK'], WIDTHS);

/** One line. Columns are as wide as usual, since what comes isn't known. */
export function packetText(event: TraceEvent): string {
  const { timeMs, source, sourcePort, keyId, op, entries, hash, verdict, tookNs } = event;
  const address = source?.includes(':') === true ? `[${source}]` : source;
  return columns(
    [
      new Date(timeMs).toISOString().slice(11, 23),
      address === null || address === undefined ? '-' : `${address}${sourcePort === null ? '' : `:${sourcePort}`}`,
      keyId === null ? '-' : String(keyId),
      op === null ? '-' : `${op}${entries === null ? '' : ` ${entries}`}`,
      hash ?? '-',
      verdict,
      `${number(tookNs)} ns`,
    ],
    WIDTHS,
  );
}

function columns(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, i) => cell.padEnd(widths[i] ?? 0))
    .join('  ')
    .trimEnd();
}
