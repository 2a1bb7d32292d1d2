/**
 * Reads how loaded the backends are: stored sessions, counted one by one; what backends report in Redis; or lookups, as this
 * machine's gateway counts them. May be imported by src/gateway only.
 */
import { isUtf8 } from 'node:buffer';
import { cookieHash } from '../../auth/cookie.ts';
import type { SessionsOptions } from '../../sync/snapshot/pages.ts';
import { failure } from '../errors.ts';
import type { BackendRecord, BackendViews } from '../ports.ts';
import { storedSessions } from '../stored-sessions.ts';
import { type Crowd, CrowdCounter } from './crowd.ts';
import type { WithRedis } from './lock.ts';
import { measuredCrowds } from './measured.ts';

export const LOAD_SOURCES = ['sessions', 'reported', 'lookups'] as const;
export type LoadSource = (typeof LOAD_SOURCES)[number];

/** Names that one reading of reported loads asks for at most. */
const NAMES_MAX = 1_000;
/** Longer text is no number, bytes. */
const NUMBER_MAX_BYTES = 64;
/** As JSON and people write a number that isn't negative; Number() alone takes 0x10, too. */
const NUMBER = /^(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;
/** So that sums of loads stay exact enough. */
const LOAD_MAX = 1e15;

/** Every session in Redis, by the backend that it is stored on. @returns by position in `backends` */
export async function storedCrowds(
  withRedis: WithRedis,
  sessions: SessionsOptions,
  backends: readonly BackendRecord[],
  signal: AbortSignal,
): Promise<Crowd[]> {
  const counters = new Map(backends.map(({ name }) => [name, new CrowdCounter()]));
  await withRedis(async (redis) => {
    // A connection that was lost half-way lets this start over.
    for (const { name } of backends) counters.set(name, new CrowdCounter());
    for await (const page of storedSessions(redis, sessions)) {
      signal.throwIfAborted();
      for (const { sid, backend } of page.sessions) counters.get(backend.toString('utf8'))?.add(cookieHash(sid));
    }
  });
  return backends.map(({ name }) => (counters.get(name) as CrowdCounter).crowd());
}

/** By name, a load that was reported, and whose users that was found to be: see `reportedCrowds`. */
export type Reports = Map<string, { readonly load: number; readonly users: number }>;

/**
 * What backends report in `key`. A number that is still the one of an earlier time was written before anything changed, or
 * changed nothing: it stands for the same users as then. Taken for a new one, it would say that shedding doesn't help, and so more and more would be shed.
 * @param reports of the time before; those of now take their place
 * @throws GatewayError BALANCE_LOADS_MISSING where an active one reports nothing, or no number: taken for idle it would be sent users
 */
export async function reportedCrowds(
  withRedis: WithRedis,
  key: string,
  backends: readonly BackendRecord[],
  reports: Reports = new Map(),
): Promise<Crowd[]> {
  const texts: (Buffer | null)[] = [];
  for (let at = 0; at < backends.length; at += NAMES_MAX) {
    const names = backends.slice(at, at + NAMES_MAX).map(({ name }) => name);
    texts.push(...(await withRedis((redis) => redis.hmgetBuffer(key, ...names))));
  }
  const found = texts.map(parseLoad);
  const missing = backends
    .filter(({ state }, i) => state === 'active' && found[i] === undefined)
    .map(({ name }) => name);
  if (missing.length > 0) throw failure('BALANCE_LOADS_MISSING', { where: key, names: missing });
  const loads = found.map((load) => load ?? 0);
  const known = backends.map(({ name }, i) => {
    const before = reports.get(name);
    return before?.load === loads[i] ? before?.users : undefined;
  });
  const crowds = measuredCrowds(backends, loads, undefined, known);
  reports.clear();
  for (const [i, { name }] of backends.entries()) {
    reports.set(name, { load: loads[i] as number, users: (crowds[i] as Crowd).load });
  }
  return crowds;
}

function parseLoad(text: Buffer | null): number | undefined {
  if (text === null || text.length > NUMBER_MAX_BYTES || !isUtf8(text)) return undefined;
  const shown = text.toString('utf8').trim();
  const load = NUMBER.test(shown) ? Number(shown) : Number.NaN;
  return load <= LOAD_MAX ? load : undefined;
}

/**
 * Lookups a second of each backend.
 * @param view what the daemon's API says
 * @throws GatewayError BALANCE_LOADS_MISSING where it has no figures yet
 */
export function lookupCrowds({ backends: views }: BackendViews, backends: readonly BackendRecord[]): Crowd[] {
  const rates = new Map(views.map(({ name, lookupsPerSecond }) => [name, lookupsPerSecond]));
  const missing = backends.filter(({ name, state }) => state === 'active' && typeof rates.get(name) !== 'number');
  if (missing.length > 0) {
    throw failure('BALANCE_LOADS_MISSING', { where: 'the gateway', names: missing.map(({ name }) => name) });
  }
  return measuredCrowds(
    backends,
    backends.map(({ name }) => rates.get(name) ?? 0),
  );
}
