/**
 * A process that asks for one session and for nobody, through the whole program over pinned maps, as fast as it can. Ends at
 * "stop", with how often it saw which backend and port.
 *
 *     node asker.ts MAPS-DIRECTORY SHARED-DIRECTORY KEY-SECRET-IN-HEX SESSION-ID
 */
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { cookieHash } from '../../../src/auth/cookie.ts';
import { Key } from '../../../src/auth/keyring.ts';
import { openLookupReply } from '../../../src/auth/lookup.ts';
import { encodeLookupRequest } from '../../../src/auth/request.ts';
import { runOnPacket } from '../../../src/gateway/kernel/libbpf.ts';
import { buildFrame, ipv4 } from '../../model/frames.ts';
import { loadOver, OWN_MAPS, SHARED_MAPS } from './table.ts';

const FRAMES = 1_000;
/** Ethernet, IPv4 and UDP headers. */
const PAYLOAD_AT = 14 + 20 + 8;

const [own = '', shared = '', secret = '', stored = ''] = process.argv.slice(2);
const key = new Key(
  { id: 1, name: 'stress', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null },
  Buffer.from(secret, 'hex'),
);
const gateway = loadOver('gateway', { [own]: OWN_MAPS, [shared]: SHARED_MAPS }).programFd('gateway');
const asked = [stored, `not ${stored}`].map((sessionId) => {
  const request = encodeLookupRequest(key, cookieHash(sessionId), Date.now(), randomBytes(8));
  const addresses = { source: ipv4(10, 99, 0, 1), destination: ipv4(10, 99, 0, 2) };
  return { request, frame: buildFrame({ ...addresses, destinationPort: 6464, payload: request.bytes }) };
});
const seen: Record<string, number> = {};

function askOnce({ request, frame }: (typeof asked)[number]): void {
  const opened = openLookupReply(request, runOnPacket(gateway, frame).packet.subarray(PAYLOAD_AT));
  const answer = opened.ok ? `${opened.reply.backendId}:${opened.reply.port}` : opened.reason;
  seen[answer] = (seen[answer] ?? 0) + 1;
}

let stopped = false;
process.on('message', () => {
  stopped = true;
});
process.on('disconnect', () => process.exit(1));
process.send?.('asking');
while (!stopped) {
  for (let i = 0; i < FRAMES; i++) askOnce(asked[i % asked.length] as (typeof asked)[number]);
  await turn();
}
process.send?.(seen, () => process.exit(0));
