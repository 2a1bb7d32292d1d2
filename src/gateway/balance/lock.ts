/**
 * A lock in Redis, so that of several balancers one works: `SET NX PX` with a token of its own, renewed, and released only where the token
 * is still there (redis.io, "Distributed Locks with Redis", the case of one instance). May be imported by src/gateway only.
 *
 * It bounds how long two could work at once by mistake; that is enough, since a plan is made anew from what is there, and each patch
 * of a backend is atomic by itself.
 */
import { randomBytes } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';
import { type Runtime, sleep } from '../../sync/runtime.ts';
import { failure, GatewayError } from '../errors.ts';

/** Runs a step over a connection to the master. */
export type WithRedis = <T>(action: (redis: Redis | Cluster) => Promise<T>) => Promise<T>;

export interface LockOptions {
  readonly key: string;
  /** How long it lasts without being renewed, ms; it is renewed three times as often. */
  readonly ttlMs: number;
}

const RENEW =
  "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";
const RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/** How one waits for a lock that another has. */
export interface Standby {
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  /** Told once, where another has it. */
  readonly onWait: () => void;
}

/** A lock that is about to end is not asked for more often, ms. */
const STANDBY_MIN_MS = 100;

/**
 * Works under the lock.
 * @param action is given a signal that is aborted, with the error as its reason, when the lock is lost
 * @param standby how to wait where another has it; without it that is an error
 * @throws GatewayError BALANCE_LOCKED where another has it, with `standby` only where it has no end; BALANCE_LOCK_LOST; what `action` throws;
 *   the reason of the standby's signal
 */
export async function underLock<T>(
  withRedis: WithRedis,
  runtime: Runtime,
  { key, ttlMs }: LockOptions,
  action: (lost: AbortSignal) => Promise<T>,
  standby?: Standby,
): Promise<T> {
  const token = randomBytes(16).toString('hex');
  let heldUntilMs = await acquireInTurn(withRedis, runtime, { key, ttlMs }, token, standby);

  const lost = new AbortController();
  const done = new AbortController();
  const lose = (reason: string): void => lost.abort(failure('BALANCE_LOCK_LOST', { key, reason }));
  const renew = async (): Promise<void> => {
    while (!done.signal.aborted && !lost.signal.aborted) {
      await sleep(runtime, ttlMs / 3, done.signal);
      if (done.signal.aborted) return;
      const sentMs = runtime.monotonicMs();
      try {
        const renewed = await withRedis((redis) => redis.eval(RENEW, 1, key, token, ttlMs));
        if (renewed !== 1) lose('found it gone, or another has it');
        else heldUntilMs = sentMs + ttlMs;
      } catch {
        // Tried again while it lasts.
      }
    }
  };
  // A renewal that hangs doesn't make it last longer.
  const watch = async (): Promise<void> => {
    while (!done.signal.aborted && !lost.signal.aborted) {
      await sleep(runtime, Math.max(1, heldUntilMs - runtime.monotonicMs()), done.signal);
      if (!done.signal.aborted && runtime.monotonicMs() >= heldUntilMs) lose('it could not be renewed in time');
    }
  };
  const upkeep = [renew(), watch()];
  try {
    const result = await action(lost.signal);
    lost.signal.throwIfAborted();
    return result;
  } finally {
    done.abort();
    await Promise.all(upkeep);
    // One that can't be released ends by itself.
    await withRedis((redis) => redis.eval(RELEASE, 1, key, token)).catch(() => undefined);
  }
}

/** @returns until when it is held, monotonic ms */
async function acquireInTurn(
  withRedis: WithRedis,
  runtime: Runtime,
  { key, ttlMs }: LockOptions,
  token: string,
  standby: Standby | undefined,
): Promise<number> {
  let isWaiting = false;
  for (;;) {
    standby?.signal.throwIfAborted();
    // Counted from before Redis does, so that it ends here first.
    const heldUntilMs = runtime.monotonicMs() + ttlMs;
    const leftMs = await withRedis((redis) => acquire(redis, key, token, ttlMs)).catch((error: unknown) => {
      // Who waits already waits for Redis, too.
      if (isWaiting && error instanceof GatewayError && error.exitStatus === 1) return ttlMs;
      throw error;
    });
    if (leftMs === 'held') return heldUntilMs;
    if (standby === undefined || leftMs === null) throw failure('BALANCE_LOCKED', { key, leftMs });
    if (!isWaiting) standby.onWait();
    isWaiting = true;
    await sleep(runtime, Math.max(STANDBY_MIN_MS, Math.min(leftMs, ttlMs / 3)), standby.signal);
  }
}

/** @returns for how long another has it, ms; null where that has no end */
async function acquire(
  redis: Redis | Cluster,
  key: string,
  token: string,
  ttlMs: number,
): Promise<'held' | number | null> {
  if ((await redis.set(key, token, 'PX', ttlMs, 'NX')) === 'OK') return 'held';
  // The reply to a first try was lost, and this one finds its own.
  if ((await redis.get(key)) === token) return 'held';
  const leftMs = await redis.pttl(key);
  // -1: no end, -2: it has just ended
  return leftMs === -1 ? null : Math.max(0, leftMs);
}
