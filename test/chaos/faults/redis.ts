/** Of Redis: it dies, stands still, loses what it held, and hands over to another one. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Fault, start } from './fault.ts';

export const REDIS_FAULTS: readonly Fault[] = [
  {
    name: 'Redis killed',
    apply: async (world, random) => {
      await world.servers.kill();
      await sleep(random.between(0, 3_000));
      await world.servers.start('log');
    },
  },
  {
    name: 'Redis and daemon killed',
    apply: async (world, random) => {
      await Promise.all([world.servers.kill(), world.stage.stopGateway('SIGKILL')]);
      await sleep(random.between(0, 1_000));
      await world.servers.start('log');
      await start(world);
    },
  },
  {
    name: 'Redis restarted empty',
    loses: true,
    apply: async (world, random) => {
      await world.servers.kill();
      await sleep(random.between(0, 1_000));
      await world.servers.start('nothing');
    },
  },
  {
    name: 'Redis paused',
    apply: async (world, random) => {
      world.servers.signal('SIGSTOP');
      await sleep(random.between(500, 6_000));
      world.servers.signal('SIGCONT');
    },
  },
  {
    name: 'Redis flushed',
    loses: true,
    apply: async (world) => {
      await world.redis.flushall();
    },
  },
  {
    name: 'backup restored',
    apply: async (world, random) => {
      await world.servers.takeBackup();
      await sleep(random.between(200, 3_000));
      await world.servers.kill();
      await world.servers.start('backup');
    },
  },
  {
    name: 'failed over',
    apply: async (world) => {
      await world.servers.failOver(0);
      world.followMaster();
    },
  },
  {
    name: 'failed over with writes lost',
    apply: async (world, random) => {
      await world.servers.failOver(random.between(100, 2_000));
      world.followMaster();
    },
  },
];
