/** Of the daemon: it dies, stands still, is upgraded, and is given a wrong clock. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SHARED_HASH } from '../../../src/abi.ts';
import { WallClock } from '../../../src/gateway/kernel/wall-clock.ts';
import { withPin } from '../oracle.ts';
import { changing, NAMES } from '../population.ts';
import type { World } from '../world.ts';
import { type Fault, HOUR_MS, start, useOtherCapacity } from './fault.ts';

export const DAEMON_FAULTS: readonly Fault[] = [
  {
    name: 'daemon killed',
    apply: async (world, random) => {
      await world.stage.stopGateway('SIGKILL');
      await sleep(random.between(0, 2_000));
      await start(world);
    },
  },
  {
    name: 'daemon stopped',
    apply: async (world, random) => {
      await world.stage.stopGateway('SIGTERM');
      await sleep(random.between(0, 2_000));
      await start(world);
    },
  },
  {
    name: 'daemon paused',
    apply: async (world, random) => {
      world.stage.gateway?.kill('SIGSTOP');
      await sleep(random.between(500, 5_000));
      world.stage.gateway?.kill('SIGCONT');
    },
  },
  {
    name: 'daemon upgraded to other maps',
    apply: async (world) => {
      await world.stage.stopGateway('SIGTERM');
      useOtherCapacity(world);
      await start(world);
    },
  },
  {
    name: 'daemon upgraded while Redis is away',
    apply: async (world, random) => {
      await Promise.all([world.stage.stopGateway('SIGTERM'), world.servers.kill()]);
      useOtherCapacity(world);
      const started = world.stage.startGateway();
      await sleep(random.between(500, 3_000));
      world.recovery.over();
      await Promise.all([world.servers.start('log'), started]);
    },
  },
  {
    name: 'daemon killed in its first load',
    apply: async (world, random) => {
      await world.stage.stopGateway('SIGKILL');
      for (let i = random.between(1, 3); i > 0; i--) {
        if (random.chance(0.7)) useOtherCapacity(world);
        const ended = world.stage.startGateway().catch(() => undefined);
        await sleep(random.between(100, 1_500));
        await world.stage.stopGateway('SIGKILL');
        await ended;
      }
      await start(world);
    },
  },
  {
    name: 'daemon away while sessions are deleted',
    apply: async (world, random) => {
      await world.stage.stopGateway('SIGKILL');
      const gone = random.shuffled(changing).slice(0, 500);
      await world.redis.del(...gone.map(({ sid }) => NAMES.prefix + sid));
      await start(world);
    },
  },
  {
    name: 'keys reloaded',
    apply: async (world, random) => {
      for (let i = 0; i < 4; i++) {
        world.writeKeys(random.between(0, 3));
        world.stage.gateway?.kill('SIGHUP');
        await sleep(random.between(50, 300));
      }
    },
  },
  {
    name: 'clock off within the skew',
    apply: async (world, random) => {
      for (let i = 0; i < 3; i++) {
        setClockOffBy(world, random.between(-25_000, 25_000));
        await sleep(random.between(200, 1_500));
      }
      await untilClockIsRight(world);
    },
  },
  {
    name: 'clock off by an hour',
    apply: async (world, random) => {
      const over = world.lookups.allow('skew');
      setClockOffBy(world, random.pick([-HOUR_MS, HOUR_MS]));
      world.recovery.over();
      await untilClockIsRight(world);
      over();
    },
  },
];

function wallClockOf<T>(world: World, action: (clock: WallClock) => T): T {
  return withPin(join(world.stage.pins, `shared-${SHARED_HASH}`, 'wall_clock'), (fd) => {
    const clock = new WallClock(fd);
    try {
      return action(clock);
    } finally {
      clock.close();
    }
  });
}

function rightOffsetMs(): number {
  return Date.now() - Number(process.hrtime.bigint() / 1_000_000n);
}

function setClockOffBy(world: World, ms: number): void {
  wallClockOf(world, (clock) => {
    clock.offsetMs = rightOffsetMs() + ms;
  });
}

async function untilClockIsRight(world: World): Promise<void> {
  await world.until('the clock is put right', async () =>
    wallClockOf(world, (clock) => Math.abs(clock.offsetMs - rightOffsetMs()) < 100),
  );
}
