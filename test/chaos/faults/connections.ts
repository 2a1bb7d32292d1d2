/** Of what lies between the gateway and Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault.ts';

export const CONNECTION_FAULTS: readonly Fault[] = [
  {
    name: 'connections cut',
    apply: async (world, random) => {
      for (let i = random.between(1, 5); i > 0; i--) {
        world.proxy.cut();
        await sleep(random.between(0, 400));
      }
    },
  },
  {
    name: 'connections refused',
    apply: async (world, random) => {
      world.proxy.mode = 'refuse';
      world.proxy.cut();
      await sleep(random.between(500, 4_000));
      world.proxy.mode = 'pass';
    },
  },
  {
    name: 'connections half-open',
    apply: async (world, random) => {
      world.proxy.mode = 'swallow';
      await sleep(random.between(500, 4_000));
      world.proxy.mode = 'pass';
    },
  },
  {
    name: 'connections slow',
    apply: async (world, random) => {
      world.proxy.mode = 'drip';
      if (random.chance(0.5)) world.proxy.cut();
      await sleep(random.between(1_000, 4_000));
      world.proxy.mode = 'pass';
    },
  },
  {
    name: 'clients killed',
    apply: async (world, random) => {
      for (let i = random.between(1, 4); i > 0; i--) {
        await world.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await sleep(random.between(0, 400));
      }
    },
  },
];
