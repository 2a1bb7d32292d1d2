/** Of the network between gateway and load balancer. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { World } from '../world.ts';
import { type Fault, start } from './fault.ts';

export const NETWORK_FAULTS: readonly Fault[] = [
  {
    name: 'interface down',
    apply: async (world, random) => {
      const over = world.lookups.allow('silence');
      const { network } = world.stage;
      network.setGatewayLink('down');
      await sleep(random.between(200, 2_000));
      network.setGatewayLink('up');
      over();
    },
  },
  {
    name: 'interface replaced',
    apply: async (world, random) => {
      const over = world.lookups.allow('silence');
      const { network } = world.stage;
      network.unplug();
      await sleep(random.between(0, 2_000));
      network.plug();
      world.recovery.over();
      await untilAttached(world);
      over();
    },
  },
  {
    name: 'interface replaced while the daemon is away',
    apply: async (world, random) => {
      await world.stage.stopGateway('SIGKILL');
      await sleep(random.between(0, 1_000));
      const over = world.lookups.allow('silence');
      world.stage.network.unplug();
      world.stage.network.plug();
      await start(world);
      await untilAttached(world);
      over();
    },
  },
];

async function untilAttached(world: World): Promise<void> {
  await world.until('the program is attached again', async () => {
    const status = await world.status();
    return status?.interfaces[0]?.mode === 'native' && status.addresses.length > 0;
  });
  // The client's device went as well, and it keeps away for a while from a gateway that it can't reach.
  await world.until('the client asks again', () => world.lookups.isAnswered());
}
