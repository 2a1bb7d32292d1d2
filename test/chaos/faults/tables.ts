/** Of what else Redis holds, and of how much the kernel can hold. */
import { setTimeout as sleep } from 'node:timers/promises';
import { backends, NAMES } from '../population.ts';
import type { World } from '../world.ts';
import { type Fault, FEED, HOUR_MS, start, useCapacity } from './fault.ts';

/** Fewer than population and fillers together need. */
const SMALL_CAPACITY = 6_000;
const FILLERS = 4_000;

export const TABLE_FAULTS: readonly Fault[] = [
  {
    name: 'scripts flushed',
    apply: async (world) => {
      await world.redis.script('FLUSH');
      if (world.from === 'stream') await world.redis.del(FEED);
    },
  },
  {
    name: 'functions flushed',
    apply: async (world, random) => {
      await world.redis.function('FLUSH');
      await sleep(random.between(100, 1_000));
      await world.installFunctions();
    },
  },
  {
    name: 'backends deleted',
    loses: true,
    apply: async (world, random) => {
      await world.redis.multi().del(NAMES.backends).xadd(FEED, '*', 'op', 'backends').exec();
      await sleep(random.between(0, 2_000));
      for (const { name, id, addresses } of random.shuffled(backends)) {
        const patch = JSON.stringify({ id, address: random.pick(addresses) });
        await world.redis.fcall('backend_patch', 2, NAMES.backends, FEED, name, patch);
      }
    },
  },
  {
    name: 'table full',
    apply: async (world) => {
      await world.stage.stopGateway('SIGTERM');
      useCapacity(world, SMALL_CAPACITY);
      await start(world);
      await fill(world, (pipeline, sid) =>
        pipeline.fcall('session_set', 2, NAMES.prefix + sid, FEED, sid, backends[0]?.name ?? '', HOUR_MS),
      );
      await world.until('the table is full', async () => ((await world.status())?.refused ?? 0) > 0);
      await fill(world, (pipeline, sid) => pipeline.fcall('session_del', 2, NAMES.prefix + sid, FEED, sid));
      world.recovery.over();
      await world.until('there is room again, and the gateway makes use of it', async () => {
        const sync = (await world.status())?.sync;
        return (sync?.resyncs['room'] ?? 0) > 0 && sync?.resync === null;
      });
    },
  },
];

async function fill(world: World, change: (pipeline: ReturnType<World['redis']['pipeline']>, sid: string) => unknown) {
  const pipeline = world.redis.pipeline();
  for (let i = 0; i < FILLERS; i++) change(pipeline, `filler-${i}`);
  await pipeline.exec();
}
