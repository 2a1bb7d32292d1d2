/** Of the feed: entries go before they are read, or the stream is another one. */
import { setTimeout as sleep } from 'node:timers/promises';
import { changing, NAMES } from '../population.ts';
import { type Fault, FEED, start, write } from './fault.ts';

const BURST = 50_000;

export const FEED_FAULTS: readonly Fault[] = [
  {
    name: 'feed trimmed',
    from: 'stream',
    apply: async (world, random) => {
      const multi = world.redis.multi();
      write(multi, random, random.between(10, 300));
      multi.xtrim(FEED, 'MAXLEN', random.pick([0, 10]));
      await multi.exec();
    },
  },
  {
    name: 'feed deleted',
    from: 'stream',
    apply: async (world, random) => {
      const multi = world.redis.multi();
      write(multi, random, random.between(0, 300));
      multi.del(FEED);
      write(multi, random, random.between(0, 300));
      await multi.exec();
    },
  },
  {
    name: 'feed replaced by as many entries',
    from: 'stream',
    apply: async (world, random) => {
      await world.writer.pause();
      world.stage.gateway?.kill('SIGSTOP');
      const info = (await world.redis.xinfo('STREAM', FEED)) as unknown[];
      const added = Math.min(Number(info[info.indexOf('entries-added') + 1]), 20_000);
      const multi = world.redis.multi().del(FEED);
      write(multi, random, added);
      await multi.exec();
      world.stage.gateway?.kill('SIGCONT');
      world.recovery.over();
      world.writer.start();
    },
  },
  {
    name: 'feed rolled back',
    from: 'stream',
    apply: async (world, random) => {
      const earlier = await world.redis.dumpBuffer(FEED);
      // Of entries that nobody has read, a feed that is put back says nothing: these are there to be read.
      const read = world.redis.multi();
      write(read, random, random.between(1, 300));
      await read.exec();
      await sleep(random.between(200, 1_500));
      const multi = world.redis.multi();
      multi.restore(FEED, 0, earlier ?? '', 'REPLACE');
      write(multi, random, random.between(0, 300));
      await multi.exec();
    },
  },
  {
    name: 'feed entries deleted',
    from: 'stream',
    apply: async (world, random) => {
      // In one step, so that nobody has read them: some in the middle of what is new, sometimes the last.
      const script = `
        local deleted = {}
        for i = 1, #ARGV, 3 do
          redis.call('HSET', '${NAMES.prefix}' .. ARGV[i], 'backend', ARGV[i + 1])
          redis.call('PERSIST', '${NAMES.prefix}' .. ARGV[i])
          local id = redis.call('XADD', KEYS[1], '*', 'op', 'set', 'sid', ARGV[i], 'backend', ARGV[i + 1], 'expires', '0')
          if ARGV[i + 2] == '1' then deleted[#deleted + 1] = id end
        end
        for _, id in ipairs(deleted) do redis.call('XDEL', KEYS[1], id) end`;
      const share = random.next();
      const writes = random.shuffled(changing).slice(0, random.between(1, 100));
      const args = writes.flatMap(({ sid, on }) => [sid, random.pick(on).name, Number(random.chance(share))]);
      await world.redis.eval(script, 1, FEED, ...args);
    },
  },
  {
    name: 'feed id set forward',
    from: 'stream',
    apply: async (world, random) => {
      await world.redis.call('XSETID', FEED, `${Date.now() + random.between(1, 2_000)}-0`);
    },
  },
  {
    name: 'feed id set back',
    from: 'stream',
    apply: async (world, random) => {
      const multi = world.redis.multi();
      write(multi, random, 50);
      if (random.chance(0.5)) {
        // Redis remembers the highest id ever deleted: for a minute all others are below it.
        const deleted = `${Date.now() + 60_000}-0`;
        multi.xadd(FEED, deleted, 'op', 'backends').xdel(FEED, deleted);
      }
      multi.xtrim(FEED, 'MAXLEN', 0);
      multi.call('XSETID', FEED, `${Date.now() - random.between(1_000, 60_000)}-0`);
      write(multi, random, random.between(0, 50));
      await multi.exec();
    },
  },
  {
    name: 'daemon away while the feed is trimmed',
    from: 'stream',
    apply: async (world, random) => {
      await world.stage.stopGateway('SIGKILL');
      const multi = world.redis.multi();
      write(multi, random, 200);
      multi.xtrim(FEED, 'MAXLEN', random.pick([0, 10]));
      await multi.exec();
      await start(world);
    },
  },
  {
    name: 'daemon paused while the feed is trimmed',
    from: 'stream',
    apply: async (world, random) => {
      world.stage.gateway?.kill('SIGSTOP');
      await sleep(random.between(100, 3_000));
      await world.redis.xtrim(FEED, 'MAXLEN', random.pick([0, 10]));
      world.stage.gateway?.kill('SIGCONT');
    },
  },
  {
    name: 'burst',
    apply: async (world) => {
      await world.writer.burst(BURST);
    },
  },
  {
    name: 'load interrupted',
    apply: async (world, random) => {
      if (world.from === 'stream') await world.redis.del(FEED);
      else world.proxy.cut();
      for (let i = random.between(1, 4); i > 0; i--) {
        await sleep(random.between(0, 150));
        world.proxy.cut();
      }
    },
  },
];
