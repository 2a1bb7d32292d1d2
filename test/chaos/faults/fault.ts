/** What a fault is, and what several of them do. */
import { changing, NAMES } from '../population.ts';
import type { Random } from '../random.ts';
import { CAPACITY, type From, type World } from '../world.ts';

export interface Fault {
  readonly name: string;
  /** Redis rightly loses sessions or backends: "not found" is a right answer until they are there again. */
  readonly loses?: true;
  /** The only way of following Redis that it means something to; absent = any. */
  readonly from?: From;
  apply(world: World, random: Random): Promise<void>;
}

export const FEED = NAMES.feed;
export const HOUR_MS = 3_600_000;
const OTHER_CAPACITY = 25_000;

/** From here on it can be in step again. */
export async function start(world: World): Promise<void> {
  world.recovery.over();
  await world.stage.startGateway();
}

export function useCapacity(world: World, capacity: number): void {
  world.capacity = capacity;
  world.stage.writeConfig({ capacity });
}

export function useOtherCapacity(world: World): void {
  useCapacity(world, world.capacity === CAPACITY ? OTHER_CAPACITY : CAPACITY);
}

type Multi = ReturnType<World['redis']['multi']>;

/** Adds so many writes of sessions, without the function library. */
export function write(multi: Multi, random: Random, writes: number): void {
  for (let i = 0; i < writes; i++) {
    const { sid, on } = random.pick(changing);
    const { name } = random.pick(on);
    const key = NAMES.prefix + sid;
    if (random.chance(0.2)) multi.del(key).xadd(FEED, '*', 'op', 'del', 'sid', sid);
    else {
      const expires = Date.now() + random.between(60_000, HOUR_MS);
      multi.hset(key, 'backend', name).pexpireat(key, expires);
      multi.xadd(FEED, '*', 'op', 'set', 'sid', sid, 'backend', name, 'expires', expires);
    }
  }
}
