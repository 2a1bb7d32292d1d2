/**
 * A process that looks sessions up while another one changes them: as fast as the kernel can, by lookups.bpf.c,
 * and through the whole program, each reply of which is opened and judged. Ends at "stop", with what it saw.
 *
 *     node reader.ts MAPS-DIRECTORY SHARED-DIRECTORY KEY-SECRET-IN-HEX
 */
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { Status } from '../../../src/abi.ts';
import { Key } from '../../../src/auth/keyring.ts';
import { openLookupReply } from '../../../src/auth/lookup.ts';
import { encodeLookupRequest } from '../../../src/auth/request.ts';
import { runOnPacket } from '../../../src/gateway/kernel/libbpf.ts';
import { buildFrame, ipv4 } from '../../model/frames.ts';
import { backendId, expiresMs, hashOf, PERMANENT } from './records.ts';
import { Lookups, loadOver, OWN_MAPS, SHARED_MAPS } from './table.ts';

const REPEAT = 50_000;
const FRAMES = 2_000;
const XDP_TX = 3;
/** Ethernet, IPv4 and UDP headers. */
const PAYLOAD_AT = 14 + 20 + 8;

const [own = '', shared = '', secret = ''] = process.argv.slice(2);
const key = new Key(
  { id: 1, name: 'stress', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null },
  Buffer.from(secret, 'hex'),
);
const lookups = new Lookups(own);
const gateway = loadOver('gateway', { [own]: OWN_MAPS, [shared]: SHARED_MAPS }).programFd('gateway');
const frame = new Uint8Array(64);
const asked = Array.from({ length: PERMANENT }, (_, index) => {
  const request = encodeLookupRequest(key, hashOf(index), Date.now(), randomBytes(8));
  const payload = request.bytes;
  const addresses = { source: ipv4(10, 99, 0, 1), destination: ipv4(10, 99, 0, 2) };
  return { index, request, frame: buildFrame({ ...addresses, destinationPort: 6464, payload }), newest: 0 };
});
const replies = { right: 0, silent: 0, wrong: [] as string[] };

function askOnce(one: (typeof asked)[number]): void {
  const { action, packet } = runOnPacket(gateway, one.frame);
  if (action !== XDP_TX) {
    replies.silent += 1;
    return;
  }
  const opened = openLookupReply(one.request, packet.subarray(PAYLOAD_AT));
  const problem = opened.ok ? problemOf(one, opened.reply) : opened.reason;
  if (problem === undefined) replies.right += 1;
  else if (replies.wrong.length < 10) replies.wrong.push(`session ${one.index}: ${problem}`);
}

function problemOf(
  one: (typeof asked)[number],
  reply: { status: number; version: bigint; backendId: number; ttlS: number; timeMs: number },
): string | undefined {
  const version = Number(reply.version);
  const ttlS = Math.ceil((expiresMs(one.index, version) - reply.timeMs) / 1000);
  const backend = backendId(one.index, version);
  const isOlder = version < one.newest;
  one.newest = version;
  if (reply.status !== Status.FOUND || reply.backendId !== backend || reply.ttlS !== ttlS || isOlder)
    return `status ${reply.status}, version ${version}, backend ${reply.backendId}, ttl ${reply.ttlS}; expected 0, backend ${backend}, ttl ${ttlS}`;
  return undefined;
}

let stopped = false;
process.on('message', () => {
  stopped = true;
});
process.on('disconnect', () => process.exit(1));
process.send?.('reading');
while (!stopped) {
  runOnPacket(lookups.program('lookups'), frame, REPEAT);
  for (let i = 0; i < FRAMES; i++) askOnce(asked[i % PERMANENT] as (typeof asked)[number]);
  await turn();
}
process.send?.({ kernel: lookups.seen(0), replies }, () => process.exit(0));
