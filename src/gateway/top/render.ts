/**
 * The picture of `gateway top`: pure, from state and size to lines. What matters most is kept where there is little room. Imported by
 * src/gateway/top and tests.
 */
import { duration, number, printable } from '../commands/text.ts';
import type { BackendView, KeyInfo } from '../ports.ts';
import { isAnswer } from './figures.ts';
import { columnsOf, cut, type Line, lineText, type Part, padded } from './line.ts';
import { sparkline } from './sparkline.ts';
import type { Sort, TopState } from './state.ts';

export interface Look {
  readonly width: number;
  readonly height: number;
  readonly hasColours: boolean;
  /** Characters of sparklines and bars, from low to high. */
  readonly ramp: string;
  /** Unix ms. */
  readonly nowMs: number;
  /** Age over which replies carry the STALE flag. */
  readonly staleAfterMs: number;
}

const NAME_WIDTH = 13;
const RATE_WIDTH = 10;
/** A backend's name in a table, at most. */
const BACKEND_NAME_MAX = 30;
/** A key that ends within this time is shown so. */
const ENDS_SOON_MS = 14 * 86_400_000;

const HELP: readonly string[] = [
  'q, Ctrl-C   quit',
  'p, space    pause, and go on',
  's           sort backends by name, lookups, stored sessions, share',
  '?, h        this help',
  '',
  'lookups     answers a second, of all kinds',
  'hits        of lookups that were answered, those whose session is stored',
  'age         how long ago the table was in step with Redis',
  'share       part of new users that is placed on a backend',
  'Rates are of the time between two looks; sparklines over the highest shown.',
];

/** @returns at most `height` lines, each at most `width` columns wide */
export function render(state: TopState, look: Look): string[] {
  const { width, height } = look;
  const head = [title(state, look), ...stateLines(state, look)].slice(0, Math.max(0, height - 1));
  const room = Math.max(0, height - head.length - 1);
  const body = state.showsHelp ? HELP.map((text): Line => [text]) : bodyOf(state, look, room);
  const shown = body.slice(0, room);
  const blank: Line[] = Array.from({ length: room - shown.length }, () => []);
  const lines = [...head, ...shown, ...blank, footer(state)].slice(0, height);
  return lines.map((line) => lineText(line, width, look.hasColours));
}

/** All there is to show, for who reads it without a terminal. */
export function renderWhole(state: TopState, look: Omit<Look, 'height'>): string[] {
  const lines = [title(state, look), ...stateLines(state, look), ...bodyOf(state, look, Number.POSITIVE_INFINITY)];
  return lines.map((line) => lineText(line, look.width, look.hasColours).trimEnd());
}

type Sized = Omit<Look, 'height'>;

function title({ sample, isPaused }: TopState, { nowMs, width }: Sized): Line {
  const time = new Date(nowMs).toISOString().slice(11, 19);
  const right = `${isPaused ? 'PAUSED ' : ''}${time}`;
  if (sample === null) return [['bold', 'session-gateway']];
  const { version, startedAt, pid } = sample.status;
  const up = duration(Math.max(0, sample.wallMs - Date.parse(startedAt)));
  const left = cut(`session-gateway ${version}  process ${pid}  up ${up}`, Math.max(0, width - right.length - 1));
  const gap = ' '.repeat(Math.max(1, width - columnsOf(left) - right.length));
  return [['bold', left], gap, isPaused ? ['yellow', right] : right];
}

function stateLines({ sample, away }: TopState, look: Sized): Line[] {
  const lines: Line[] = [];
  if (away !== null) {
    const since = duration(Math.max(0, look.nowMs - away.sinceMs));
    const kernel = sample === null ? '' : '; the kernel goes on answering';
    lines.push([['red', `DAEMON AWAY for ${since}${kernel}: ${printable(away.reason)}`]]);
  }
  if (sample === null) return lines.length > 0 ? lines : [['waiting for the daemon']];
  const { ready, ageMs, sync, sessions, capacity, refused } = sample.status;
  const age: Part =
    ageMs === null ? ['red', 'never in step'] : [ageMs > look.staleAfterMs ? 'red' : 'plain', `age ${duration(ageMs)}`];
  const lag = sync.lagEntries === null ? '' : `, ${number(sync.lagEntries)} behind`;
  const pending = sync.notifications === null ? '' : `, ${number(sync.notifications.pending)} keys waiting`;
  const how: Part = [sync.state === 'following' ? 'green' : 'yellow', `${sync.state}${lag}${pending}`];
  const first: Part[] = [ready ? ['green', 'ready'] : ['red', 'NOT READY'], '  ', how, '  ', age];
  const part = sessions / Math.max(1, capacity);
  const stored = `sessions ${number(sessions)} of ${number(capacity)} (${(100 * part).toFixed(1)} %)`;
  const second: Part[] = [[part > 0.85 ? 'red' : 'plain', stored]];
  if (refused > 0) second.push(['red', `  ${number(refused)} refused`]);
  const wide = columnsOf([...first, ...second].map(textOf).join('')) + 2 <= look.width;
  return [...lines, ...(wide ? [[...first, '  ', ...second]] : [first, second])];
}

const textOf = (part: Part): string => (typeof part === 'string' ? part : part[1]);

/** What fits of answers, backends, keys and events. */
function bodyOf(state: TopState, look: Sized, room: number): Line[] {
  if (state.sample === null) return [];
  const answers = answerLines(state, look);
  const backends = backendLines(state, look);
  const keys = [keyLine(state.sample.status.keys, state.rates, state.sample.wallMs)];
  // Each block has a head, which goes only with a line below it.
  const shares = divided(room, [
    { least: Math.min(2, answers.length), most: answers.length },
    { least: Math.min(4, backends.length), most: backends.length },
    { least: 1, most: keys.length },
    { least: 3, most: state.events.length === 0 ? 0 : state.events.length + 2 },
  ]);
  return [
    ...answers.slice(0, shares[0]),
    ...shortened(backends, shares[1] ?? 0),
    ...keys.slice(0, shares[2]),
    ...eventLines(state, shares[3] ?? 0),
  ];
}

/** How many lines each gets: first all their least, in order, then all their most. */
export function divided(room: number, wanted: readonly { readonly least: number; readonly most: number }[]): number[] {
  let left = room;
  const shares = wanted.map(({ least, most }) => {
    const share = Math.min(least, most) <= left ? Math.min(least, most) : 0;
    left -= share;
    return share;
  });
  for (const [i, { most }] of wanted.entries()) {
    if (shares[i] === 0) continue;
    const more = Math.min(left, most - (shares[i] ?? 0));
    shares[i] = (shares[i] ?? 0) + more;
    left -= more;
  }
  return shares;
}

function answerLines({ rates, history }: TopState, { width, ramp }: Sized): Line[] {
  const sparkWidth = Math.max(0, width - NAME_WIDTH - RATE_WIDTH - 2);
  const row = (
    name: string,
    colour: 'bold' | 'plain' | 'red',
    of: (one: NonNullable<typeof rates>) => number,
  ): Line => {
    const now = rates === null ? '-' : perSecond(of(rates));
    const spark = sparkline(
      history.map((one) => (one === null ? null : of(one))),
      sparkWidth,
      ramp,
    );
    return [[colour, `${padded(name, NAME_WIDTH)}${now.padStart(RATE_WIDTH)}`], '  ', ['cyan', spark]];
  };
  const seen = new Set(history.flatMap((one) => Object.keys(one?.byVerdict ?? {})));
  const answers = [...seen].filter(isAnswer).map((name) => {
    return row(
      `  ${name.slice('REPLY_'.length).toLowerCase().replaceAll('_', ' ')}`,
      'plain',
      (one) => one.byVerdict[name] ?? 0,
    );
  });
  const drops = history.some((one) => (one?.dropped ?? 0) > 0) ? [row('dropped', 'red', ({ dropped }) => dropped)] : [];
  return [row('lookups/s', 'bold', (one) => one.answers), ratioLine(rates), ...drops, ...answers];
}

function ratioLine(rates: TopState['rates']): Line {
  const hits = rates === null || rates.hits === null ? '-' : `${(100 * rates.hits).toFixed(1)} %`;
  const parts: Part[] = [padded('hits', NAME_WIDTH), hits.padStart(RATE_WIDTH)];
  const latency = rates?.latency ?? null;
  const time = (ns: number | null): string =>
    ns === null ? '-' : ns < 10_000 ? `${ns} ns` : `${(ns / 1_000).toFixed(1)} µs`;
  if (latency !== null) parts.push(`  in the kernel: p50 ${time(latency.p50Ns)}, p99 ${time(latency.p99Ns)}`);
  return parts;
}

function perSecond(rate: number): string {
  return rate > 0 && rate < 10 ? rate.toFixed(1) : number(rate);
}

function backendLines({ sample, sort }: TopState, { width, ramp }: Sized): Line[] {
  if (sample === null) return [];
  const { backends, backendsProblem } = sample;
  if (backends === null) return [[], [['yellow', `backends are not known: ${printable(backendsProblem ?? '')}`]]];
  if (backends.backends.length === 0) return [[], [['yellow', 'no backends']]];
  const sorted = sortedBackends(backends.backends, sort);
  const nameWidth = Math.min(
    Math.max(7, Math.min(BACKEND_NAME_MAX, width - 30)),
    Math.max(7, ...sorted.map(({ name }) => columnsOf(printable(name)))),
  );
  const most = Math.max(...sorted.map(({ lookupsPerSecond }) => lookupsPerSecond ?? 0));
  const cells = (...[name, state, shed, stored, lookups, share]: string[]): string =>
    `${padded(cut(name ?? '', nameWidth), nameWidth)} ${padded(state ?? '', 8)}${(lookups ?? '').padStart(10)}${(share ?? '').padStart(9)}${(stored ?? '').padStart(11)}${(shed ?? '').padStart(8)}`;
  const head: Line = [['dim', cells('BACKEND', 'STATE', 'SHED', 'STORED', 'LOOKUPS/S', 'SHARE')]];
  const barWidth = Math.max(0, width - nameWidth - 49);
  const rows = sorted.map(({ name, state, shed, sessions, lookupsPerSecond, share }): Line => {
    const filled = most === 0 ? 0 : Math.round(((lookupsPerSecond ?? 0) / most) * barWidth);
    const text = cells(
      printable(name),
      state,
      shed === 0 ? '' : `${shed / 100} %`,
      sessions === null ? '-' : number(sessions),
      lookupsPerSecond === null ? '-' : perSecond(lookupsPerSecond),
      `${(100 * share).toFixed(1)} %`,
    );
    const colour = state === 'down' ? 'red' : state === 'draining' || shed > 0 ? 'yellow' : 'plain';
    return [[colour, text], '  ', ['cyan', (ramp.at(-1) ?? '#').repeat(filled)]];
  });
  const faults = backends.faults.map(
    ({ name, message }): Line => [['red', `${printable(name)}: ${printable(message)}`]],
  );
  return [[], head, ...faults, ...rows];
}

/** So that web-2 comes before web-10. */
const BY_NAME = new Intl.Collator('en', { numeric: true });

export function sortedBackends(backends: readonly BackendView[], sort: Sort): BackendView[] {
  const value = ({ lookupsPerSecond, sessions, share }: BackendView): number =>
    ({ name: 0, lookups: lookupsPerSecond ?? -1, stored: sessions ?? -1, share })[sort];
  return [...backends].sort((a, b) => value(b) - value(a) || BY_NAME.compare(a.name, b.name));
}

/** The first lines, and how many are left out. */
function shortened(lines: readonly Line[], room: number): Line[] {
  if (lines.length <= room) return [...lines];
  if (room === 0) return [];
  return [...lines.slice(0, room - 1), [['dim', `… and ${lines.length - room + 1} more`]]];
}

function keyLine(keys: readonly KeyInfo[], rates: TopState['rates'], nowMs: number): Line {
  if (keys.length === 0) return [['red', 'keys  none: nobody can ask']];
  const parts = keys.flatMap(({ id, name, valid, notAfterMs }): Part[] => {
    const uses = rates?.byKey.get(id);
    const text = `${id} ${printable(name)}${uses === undefined ? '' : ` ${perSecond(uses)}/s`}`;
    if (!valid) return [', ', ['yellow', `${text} (not valid now)`]];
    if (notAfterMs === null || notAfterMs - nowMs > ENDS_SOON_MS) return [', ', text];
    return [', ', ['yellow', `${text} (ends in ${duration(notAfterMs - nowMs)})`]];
  });
  return [['dim', 'keys  '], ...parts.slice(1)];
}

function eventLines({ events }: TopState, room: number): Line[] {
  if (room < 3) return [];
  const shown = events.slice(-(room - 2)).reverse();
  return [
    [],
    [['dim', 'EVENTS']],
    ...shown.map(
      ({ timeMs, text }): Line => [['dim', new Date(timeMs).toISOString().slice(11, 19)], `  ${printable(text)}`],
    ),
  ];
}

function footer({ sort, isPaused, showsHelp }: TopState): Line {
  if (showsHelp) return [['reverse', ' ? back  q quit ']];
  return [['reverse', ` q quit  p ${isPaused ? 'go on' : 'pause'}  s sort: ${sort}  ? help `]];
}
