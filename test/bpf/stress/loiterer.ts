/**
 * A process that runs loiter.bpf.c over pinned maps, again and again. Ends at "stop", with how often it did, and how often what it
 * looked at changed under it.
 *
 *     node loiterer.ts MAPS-DIRECTORY
 */
import { setImmediate as turn } from 'node:timers/promises';
import { runOnPacket } from '../../../src/gateway/kernel/libbpf.ts';
import { loadOver } from './table.ts';

const XDP_PASS = 2;
const [directory = ''] = process.argv.slice(2);
const program = loadOver('loiter', { [directory]: ['settings', 'backends', 'ring'] }).programFd('loiter');
const packet = new Uint8Array(64);

let stopped = false;
process.on('message', () => {
  stopped = true;
});
process.on('disconnect', () => process.exit(1));
process.send?.('loitering');
let [changed, runs] = [0, 0];
for (; !stopped; runs++) {
  if (runOnPacket(program, packet).action !== XDP_PASS) changed += 1;
  await turn();
}
process.send?.({ changed, runs }, () => process.exit(0));
