/**
 * Who lives in Redis during a run: backends, sessions whose assignment never changes, and sessions that change. What each
 * may ever be is fixed, so that an answer can be judged without knowing what Redis holds at that moment.
 */

export const NAMES = { backends: 'gateway:backends', feed: 'sessions:feed', prefix: 'sess:' } as const;

const BACKENDS = 8;
const PERMANENT = 1_000;
const CHANGING = 3_000;

export interface KnownBackend {
  readonly name: string;
  readonly id: number;
  /** Its address is one of these two; patches change it from one to the other. */
  readonly addresses: readonly [string, string];
}

export interface Session {
  readonly sid: string;
  /** Not always there; a permanent one is. */
  readonly changes: boolean;
  /** All that it may ever be on: one backend where it doesn't change. */
  readonly on: readonly KnownBackend[];
}

export const backends: readonly KnownBackend[] = Array.from({ length: BACKENDS }, (_, i) => ({
  name: `app-${i + 1}`,
  id: 11 + 7 * i,
  addresses: [`10.7.0.${i + 1}:8080`, `10.8.0.${i + 1}:9090`],
}));

function backend(i: number): KnownBackend {
  return backends[i % BACKENDS] as KnownBackend;
}

/** In Redis from the beginning, and always on the same backend. */
export const permanent: readonly Session[] = Array.from({ length: PERMANENT }, (_, i) => ({
  sid: `permanent-${i}`,
  changes: false,
  on: [backend(i)],
}));

/** Made, moved, deleted and ended all the time, on two backends each. */
export const changing: readonly Session[] = Array.from({ length: CHANGING }, (_, i) => ({
  sid: `changing-${i}`,
  changes: true,
  on: [backend(i), backend(i + 1 + (i % (BACKENDS - 1)))],
}));

/** Longer than any run: a permanent session never ends. */
export const FIRST_TTL_MS = 24 * 3_600_000;
