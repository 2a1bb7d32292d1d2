/**
 * A process that runs loiter.bpf.c over pinned maps so many times, and ends with how often what it looked at changed under it.
 *
 *     node loiterer.ts MAPS-DIRECTORY RUNS
 */
import { setImmediate as turn } from 'node:timers/promises';
import { runOnPacket } from '../../../src/gateway/kernel/libbpf.ts';
import { loadOver } from './table.ts';

const XDP_PASS = 2;
const [directory = '', runs = ''] = process.argv.slice(2);
const program = loadOver('loiter', { [directory]: ['settings', 'backends', 'ring'] }).programFd('loiter');
const packet = new Uint8Array(64);

process.on('disconnect', () => process.exit(1));
process.send?.('loitering');
let [changed, longestMs] = [0, 0];
for (let i = 0; i < Number(runs); i++) {
  const { action, durationNs } = runOnPacket(program, packet);
  if (action !== XDP_PASS) changed += 1;
  longestMs = Math.max(longestMs, durationNs / 1e6);
  await turn();
}
process.send?.({ changed, longestMs }, () => process.exit(0));
