/** A responder's tables in memory, for tests. */
import type { Key } from '../../../src/auth/keyring.ts';
import { buildRing, type Ring } from '../../../src/auth/placement.ts';
import type {
  BackendRecord,
  FactRecord,
  ResponderSettings,
  ResponderTables,
  SessionRecord,
} from '../../../src/auth/responder-tables.ts';
import { bytes, hex } from './vectors.ts';

/** ::ffff:192.0.2.7 */
export const SOURCE = bytes('00000000000000000000ffffc0000207');

export interface TableOptions {
  keys: readonly Key[];
  /** Unix ms; the monotonic clock stands at `MONOTONIC_MS`. */
  nowMs: number;
  settings?: Partial<ResponderSettings>;
  allows?: (source: Uint8Array) => boolean;
  /** By hash, in hex. */
  sessions?: Record<string, SessionRecord>;
  backends?: Record<number, BackendRecord>;
  facts?: Record<string, FactRecord>;
  /** Until when, by hash, in hex. */
  denied?: Record<string, number>;
  /** Empty where left out. */
  ring?: Ring;
  skewBudget?: (nowMs: number) => boolean;
}

const EMPTY_RING = buildRing([]);

export const MONOTONIC_MS = 5_000_000;

export function makeTables(options: TableOptions): ResponderTables & { monotonicMs: number } {
  const keys = new Map(options.keys.map((key) => [key.id, key]));
  return {
    monotonicMs: MONOTONIC_MS,
    settings: {
      clockOffsetMs: options.nowMs - MONOTONIC_MS,
      inStepMs: MONOTONIC_MS - 250,
      staleAfterMs: 10_000,
      maxSkewMs: 30_000,
      generation: 3,
      ready: true,
      ...options.settings,
    },
    allows: options.allows ?? (() => true),
    key: (id) => keys.get(id),
    session: (hash) => options.sessions?.[hex(hash)],
    backend: (id) => options.backends?.[id],
    ring: () => options.ring ?? EMPTY_RING,
    denied: (hash) => options.denied?.[hex(hash)] ?? 0,
    fact: (hash) => options.facts?.[hex(hash)],
    spendSkewBudget: options.skewBudget ?? (() => true),
  };
}
