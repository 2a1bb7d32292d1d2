/**
 * `gateway top`: what the daemon is doing, live. May be imported by src/gateway only.
 */
import { type Command, Option } from 'commander';
import { failure } from '../errors.ts';
import type { Rates, Sample } from '../top/figures.ts';
import type { Look } from '../top/render.ts';
import { ASCII, BLOCKS } from '../top/sparkline.ts';
import { durationMs } from './arguments.ts';
import { addCommand, type ConfigOption, integer, interruptible, type JsonOption, print } from './common.ts';

interface TopOptions extends ConfigOption, JsonOption {
  readonly every: number;
  readonly once?: boolean;
  readonly count?: number;
}

type Appearance = Pick<Look, 'hasColours' | 'ramp' | 'staleAfterMs'>;

const EVERY_MIN_MS = 100;
const EVERY_MAX_MS = 3_600_000;
const COUNT_MAX = 1_000_000;
/** Of a frame that no terminal shows. */
const PLAIN_WIDTH = 120;

export function addTop(program: Command): void {
  addCommand(program, 'top', {
    description: 'Watch the daemon live: lookups by answer, hits, age, sessions, backends, keys, events.',
    notes:
      'Keys: q quits, p pauses, s sorts the backends, ? shows help. Colours are left out where NO_COLOR is set. With --json a line for each look, from the second on, since rates need two; where the daemon is away, a line says so. docs/top.md explains the figures.',
    example: ['gateway top', 'gateway top --json --every 10s --count 6 | jq .answersPerSecond'],
  })
    .addOption(
      new Option('--every <time>', 'how often to look, 100ms to 1h').argParser(durationMs).default(1_000, '1s'),
    )
    .option('--once', 'print one picture and end')
    .option('--count <number>', `end after so many looks, 1 to ${COUNT_MAX}`, integer(1, COUNT_MAX))
    .action(top);
}

async function top({ config: file, json = false, every, once = false, count }: TopOptions): Promise<void> {
  const help = 'gateway top';
  if (every < EVERY_MIN_MS || every > EVERY_MAX_MS)
    throw failure('USAGE_INVALID', { problem: '--every: found another time, allowed: 100ms to 1h', help });
  if (!json && !once && !process.stdout.isTTY) {
    const problem = 'found no terminal; allowed without one: --once or --json';
    throw failure('USAGE_INVALID', { problem, help });
  }
  const { loadConfig } = await import('../config.ts');
  const { control, listen } = loadConfig(file);
  const { socket } = control;
  const look = { ...appearance(), staleAfterMs: listen.staleAfterMs };
  const looks = once ? 1 : (count ?? Number.POSITIVE_INFINITY);
  await interruptible((signal) => {
    if (json) return printFigures(socket, every, looks, signal);
    return once ? printOnce(socket, every, look, signal) : show(socket, every, looks, look, signal);
  });
}

/** A line for each look. A single one fails where the daemon is away. */
async function printFigures(socket: string, everyMs: number, looks: number, signal: AbortSignal): Promise<void> {
  const { systemRuntime: runtime } = await import('../../sync/runtime.ts');
  const { watch } = await import('../top/watch.ts');
  const { ratesBetween } = await import('../top/figures.ts');
  let before: Sample | null = null;
  let left = looks;
  const printed = (line: object): boolean => {
    print(JSON.stringify(line));
    left -= 1;
    return left > 0;
  };
  await watch(
    { socket, everyMs, runtime, signal },
    (sample) => {
      const rates = ratesBetween(before, sample);
      const isFirst = before === null;
      before = sample;
      return isFirst ? true : printed(figuresJson(sample, rates));
    },
    (error) => {
      if (looks === 1) throw error;
      before = null;
      return printed({ time: new Date(runtime.wallMs()).toISOString(), away: error.code });
    },
  );
}

/** What the picture has, for programs. */
export function figuresJson({ wallMs, status, backends }: Sample, rates: Rates | null): object {
  const { ready, ageMs, sessions, capacity, refused, sync, keys } = status;
  return {
    time: new Date(wallMs).toISOString(),
    ready,
    state: sync.state,
    ageMs,
    lagEntries: sync.lagEntries,
    sessions,
    capacity,
    refused,
    answersPerSecond: rates?.answers ?? null,
    droppedPerSecond: rates?.dropped ?? null,
    hits: rates?.hits ?? null,
    packetsPerSecond: rates?.byVerdict ?? null,
    latency: rates?.latency ?? null,
    backends: backends?.backends ?? null,
    keys: keys.map(({ id, name, valid, notAfterMs }) => {
      return { id, name, valid, notAfterMs, requestsPerSecond: rates?.byKey.get(id) ?? null };
    }),
  };
}

async function printOnce(socket: string, everyMs: number, look: Appearance, signal: AbortSignal): Promise<void> {
  const { systemRuntime: runtime } = await import('../../sync/runtime.ts');
  const { watch } = await import('../top/watch.ts');
  const { INITIAL, withSample } = await import('../top/state.ts');
  const { renderWhole } = await import('../top/render.ts');
  let state = INITIAL;
  let left = 2;
  await watch(
    { socket, everyMs, runtime, signal },
    (sample) => {
      state = withSample(state, sample);
      left -= 1;
      return left > 0;
    },
    (error) => {
      throw error;
    },
  );
  if (signal.aborted) return;
  const width = process.stdout.columns ?? PLAIN_WIDTH;
  print(renderWhole(state, { ...look, width, nowMs: runtime.wallMs() }).join('\n'));
}

async function show(
  socket: string,
  everyMs: number,
  looks: number,
  look: Appearance,
  signal: AbortSignal,
): Promise<void> {
  const { systemRuntime: runtime } = await import('../../sync/runtime.ts');
  const { watch } = await import('../top/watch.ts');
  const { INITIAL, withEvent, withInput, withSample, withSilence } = await import('../top/state.ts');
  const { render } = await import('../top/render.ts');
  const { Terminal } = await import('../top/terminal.ts');
  const { eventText, readEvents } = await import('../top/event-reader.ts');

  const terminal = new Terminal(process.stdin, process.stdout);
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  let state = INITIAL;
  let left = looks;
  const draw = (): void => terminal.draw(render(state, { ...look, ...terminal.size, nowMs: runtime.wallMs() }));
  /** While it is paused, what comes is not shown. */
  const change = (next: typeof state): boolean => {
    if (!state.isPaused) {
      state = next;
      draw();
    }
    left -= 1;
    return left > 0;
  };
  terminal.enter((input) => {
    const { state: next, isOver } = withInput(state, input);
    state = next;
    if (isOver) over.abort();
    else draw();
  }, draw);
  try {
    const events = readEvents(socket, runtime, both, (event) => {
      const text = eventText(event);
      if (text !== undefined && !state.isPaused) state = withEvent(state, text, runtime.wallMs());
    });
    await watch(
      { socket, everyMs, runtime, signal: both },
      (sample) => change(withSample(state, sample)),
      (error) => change(withSilence(state, error.message, runtime.wallMs())),
    );
    over.abort();
    await events;
  } finally {
    over.abort();
    terminal.leave();
  }
}

/** How the terminal wants it (no-color.org); blocks need UTF-8. */
function appearance(): Pick<Look, 'hasColours' | 'ramp'> {
  const { NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG } = process.env;
  const locale = LC_ALL || LC_CTYPE || LANG || '';
  return {
    hasColours: process.stdout.isTTY === true && !NO_COLOR && TERM !== 'dumb',
    ramp: /utf-?8/i.test(locale) ? BLOCKS : ASCII,
  };
}
