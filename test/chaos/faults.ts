/**
 * What goes wrong, as a table. A fault does its harm, ends it, and leaves it to the gateway to come back: nothing in it asks it to.
 */
import { CONNECTION_FAULTS } from './faults/connections.ts';
import { DAEMON_FAULTS } from './faults/daemon.ts';
import type { Fault } from './faults/fault.ts';
import { FEED_FAULTS } from './faults/feed.ts';
import { NETWORK_FAULTS } from './faults/network.ts';
import { REDIS_FAULTS } from './faults/redis.ts';
import { TABLE_FAULTS } from './faults/tables.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

export type { Fault } from './faults/fault.ts';

const SINGLE: readonly Fault[] = [
  ...DAEMON_FAULTS,
  ...REDIS_FAULTS,
  ...CONNECTION_FAULTS,
  ...FEED_FAULTS,
  ...TABLE_FAULTS,
  ...NETWORK_FAULTS,
];

/** Without a pause. What the gateway says as of a moment before the last one is no answer to that. */
export async function applyInTurn(faults: readonly Fault[], world: World, random: Random): Promise<void> {
  for (const fault of faults) {
    world.recovery.begin();
    await fault.apply(world, random);
  }
}

export const FAULTS: readonly Fault[] = [
  ...SINGLE,
  {
    name: 'two faults in a row',
    apply: async (world, random) => {
      const simple = SINGLE.filter(({ from, loses }) => !loses && (from === undefined || from === world.from));
      const two = random.shuffled(simple).slice(0, 2);
      world.note(two.map(({ name }) => name).join(', then '));
      await applyInTurn(two, world, random);
    },
  },
];
