/**
 * A process that changes the session table as fast as can be: batches of changes written straight into the map's memory.
 * Most write over one permanent session, the others over the rest of them, with deletes and inserts of their neighbours
 * between. A timer on its CPU interrupts it, anywhere, and looks all of them up. Ends at "stop", with what became of the
 * changes, and what the timer saw.
 *
 *     node writer.ts MAPS-DIRECTORY
 */
import { setImmediate as turn } from 'node:timers/promises';
import { applyResultLayout, ChangeKind, changeLayout, Limit } from '../../../src/abi.ts';
import { ContextRunner, openPin, runOnPacket } from '../../../src/gateway/kernel/libbpf.ts';
import { SharedMemory } from '../../../src/gateway/kernel/libc.ts';
import { backendId, expiresMs, hashOf, PASSING, PERMANENT } from './records.ts';
import { Lookups, loadOver, WRITERS_MAPS } from './table.ts';

const TICK_NS = 20_000;
const XDP_DROP = 1;

const [directory = ''] = process.argv.slice(2);
const table = loadOver('gateway', { [directory]: WRITERS_MAPS });
const changesFd = openPin(`${directory}/changes`);
if (changesFd === undefined) throw new Error(`no map "changes" in ${directory}`);
const changes = Buffer.from(new SharedMemory(changesFd, Limit.CHANGES * changeLayout.size).buffer);
const at = changeLayout.offset;
const context = new DataView(new ArrayBuffer(applyResultLayout.size));
const apply = new ContextRunner(table.programFd('apply_changes'), context.buffer);

/** Which session each change of a batch is for, and what it does to it; from one passing session to the next. */
const plan = Array.from({ length: Limit.CHANGES }, (_, i) => {
  const passing = PERMANENT + (Math.floor(i / 8) % PASSING);
  if (i % 8 === 2) return { index: PERMANENT + ((Math.floor(i / 8) + PASSING - 2) % PASSING), kind: ChangeKind.DELETE };
  if (i % 8 === 5) return { index: passing, kind: ChangeKind.PUT };
  return { index: i % 3 === 0 ? Math.floor(i / 3) % PERMANENT : 0, kind: ChangeKind.PUT };
});
const sessions = new Uint8Array(plan.map(({ index }) => index));
for (const [i, { index, kind }] of plan.entries()) {
  const change = changes.subarray(i * changeLayout.size, (i + 1) * changeLayout.size);
  change.fill(0);
  hashOf(index).copy(change, at.hash);
  change.writeUInt32LE(1, at.generation);
  change.writeUInt8(kind, at.kind);
}
const words = new Uint32Array(changes.buffer, changes.byteOffset, changes.length / 4);
const halfWords = new Uint16Array(changes.buffer, changes.byteOffset, changes.length / 2);
const WORDS = changeLayout.size / 4;

let version = 0;
function batch(): void {
  for (let i = 0; i < Limit.CHANGES; i++) {
    const index = sessions[i] as number;
    const word = i * WORDS;
    version += 1;
    words[word + at.version / 4] = version;
    words[word + at.version / 4 + 1] = Math.floor(version / 2 ** 32);
    const expires = expiresMs(index, version);
    words[word + at.expiresMs / 4] = expires;
    words[word + at.expiresMs / 4 + 1] = Math.floor(expires / 2 ** 32);
    halfWords[2 * word + at.backendId / 2] = backendId(index, version);
  }
  context.setUint32(applyResultLayout.offset.count, Limit.CHANGES, true);
  apply.run();
}

let stopped = false;
process.on('message', () => {
  stopped = true;
});
process.on('disconnect', () => process.exit(1));
batch(); // every permanent session is there from now on
const totals = { inserted: 0, replaced: 0, deleted: 0, skipped: 0, refused: 0 };
const lookups = new Lookups(directory);
lookups.setPeriod(TICK_NS);
if (runOnPacket(lookups.program('interrupt'), new Uint8Array(64)).action !== XDP_DROP) throw new Error('no timer');
process.send?.('writing');
while (!stopped) {
  for (let i = 0; i < 16; i++) {
    batch();
    for (const name of Object.keys(totals) as (keyof typeof totals)[])
      totals[name] += context.getUint32(applyResultLayout.offset[name], true);
  }
  await turn();
}
process.send?.({ totals, interrupts: lookups.seen(1) }, () => process.exit(0));
