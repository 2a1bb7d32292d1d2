/**
 * What `gateway top` remembers, and how it changes by what comes in: looks at the daemon, its silence, events, keys. Pure; every list is
 * bounded. Imported by src/gateway/top and its command.
 */
import { type Rates, ratesBetween, type Sample } from './figures.ts';

/** As many points as a wide terminal has columns. */
export const HISTORY_MAX = 400;
export const EVENTS_MAX = 100;

export const SORTS = ['name', 'lookups', 'stored', 'share'] as const;
export type Sort = (typeof SORTS)[number];

export interface TopState {
  readonly sample: Sample | null;
  readonly rates: Rates | null;
  /** The newest last; null where a look found nothing. */
  readonly history: readonly (Rates | null)[];
  /** Why the daemon doesn't answer, and since when (Unix ms); null while it does. */
  readonly away: { readonly reason: string; readonly sinceMs: number } | null;
  /** The newest last. */
  readonly events: readonly TopEvent[];
  readonly sort: Sort;
  readonly isPaused: boolean;
  readonly showsHelp: boolean;
}

export interface TopEvent {
  /** Unix ms. */
  readonly timeMs: number;
  readonly text: string;
}

export const INITIAL: TopState = {
  sample: null,
  rates: null,
  history: [],
  away: null,
  events: [],
  sort: 'name',
  isPaused: false,
  showsHelp: false,
};

export function withSample(state: TopState, sample: Sample): TopState {
  const rates = ratesBetween(state.away === null ? state.sample : null, sample);
  const told = changesTold(state, sample).map((text) => ({ timeMs: sample.wallMs, text }));
  return {
    ...state,
    sample,
    rates,
    away: null,
    history: [...state.history, rates].slice(-HISTORY_MAX),
    events: [...state.events, ...told].slice(-EVENTS_MAX),
  };
}

/** What no event of the daemon's tells. */
function changesTold({ sample: before, away }: TopState, { status }: Sample): string[] {
  if (before === null) return [];
  const told: string[] = [];
  if (before.status.pid !== status.pid) told.push(`another daemon answers: process ${status.pid}`);
  else if (away !== null) told.push('the daemon answers again');
  const refused = status.refused - before.status.refused;
  if (refused > 0) told.push(`${refused} sessions found the table full`);
  const { lastError } = status.sync;
  if (lastError !== null && lastError.timeMs !== before.status.sync.lastError?.timeMs) told.push(lastError.message);
  return told;
}

/** @param nowMs Unix ms */
export function withSilence(state: TopState, reason: string, nowMs: number): TopState {
  const isNew = state.away === null;
  return {
    ...state,
    rates: null,
    away: { reason, sinceMs: state.away?.sinceMs ?? nowMs },
    history: [...state.history, null].slice(-HISTORY_MAX),
    events: isNew ? withEvent(state, 'the daemon does not answer', nowMs).events : state.events,
  };
}

/** @param nowMs Unix ms */
export function withEvent(state: TopState, text: string, nowMs: number): TopState {
  return { ...state, events: [...state.events, { timeMs: nowMs, text }].slice(-EVENTS_MAX) };
}

export type KeyResult = { readonly state: TopState; readonly isOver: boolean };

/** @param input what the terminal sent: characters, or a sequence that begins with escape */
export function withInput(state: TopState, input: string): KeyResult {
  let next = state;
  // Arrows and their like; escape alone closes the help.
  if (input.startsWith('\u001b')) return { state: { ...state, showsHelp: false }, isOver: false };
  for (const key of input) {
    if (key === 'q' || key === '\u0003' || key === '\u0004') return { state: next, isOver: true };
    if (key === 'p' || key === ' ') next = { ...next, isPaused: !next.isPaused };
    else if (key === 's') next = { ...next, sort: SORTS[(SORTS.indexOf(next.sort) + 1) % SORTS.length] ?? 'name' };
    else if (key === '?' || key === 'h') next = { ...next, showsHelp: !next.showsHelp };
  }
  return { state: next, isOver: false };
}
