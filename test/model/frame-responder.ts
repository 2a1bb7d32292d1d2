/**
 * A model of the whole XDP program: what it does with an Ethernet frame. Written from docs/protocol.md, steps 1 and 2
 * and the rules for reply headers; what lies inside the datagram is src/auth/respond.ts.
 */
import { Verdict } from '../../src/abi.ts';
import { respond } from '../../src/auth/respond.ts';
import type { ResponderTables } from '../../src/auth/responder-tables.ts';
import { internetChecksum } from './frames.ts';

export interface FrameTables extends ResponderTables {
  port: number;
  /** Whether this is one of the gateway's addresses, 16 bytes. */
  isOwn(address: Uint8Array): boolean;
}

export interface FrameAnswer {
  verdict: Verdict;
  /** The frame to send back; for the REPLY verdicts. */
  frame?: Uint8Array;
}

const VLAN = new Set([0x8100, 0x88a8]);
const EXTENSION_HEADERS = new Set([0, 43, 44, 51, 60, 135, 139, 140]);
const UDP = 17;
const SEEN_IN_THE_HEADER: ReadonlySet<Verdict> = new Set([
  Verdict.DROP_SOURCE,
  Verdict.DROP_MAGIC,
  Verdict.DROP_VERSION,
  Verdict.DROP_TYPE,
]);

export function respondToFrame(frame: Uint8Array, tables: FrameTables, monotonicMs: number): FrameAnswer {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const has = (end: number): boolean => end <= frame.length;
  const other = { verdict: Verdict.PASS_OTHER };

  if (!has(14)) return other;
  let type = view.getUint16(12);
  let ip = 14;
  for (let tags = 0; VLAN.has(type); tags++) {
    if (tags === 2) return { verdict: Verdict.PASS_SLOW_PATH };
    if (!has(ip + 4)) return other;
    type = view.getUint16(ip + 2);
    ip += 4;
  }

  let source: Uint8Array;
  let destination: Uint8Array;
  let ipPayload: number;
  let udp: number;
  let slow: boolean;
  if (type === 0x0800) {
    if (!has(ip + 20)) return other;
    const words = view.getUint8(ip) & 0x0f;
    if (view.getUint8(ip) >> 4 !== 4 || words < 5 || view.getUint8(ip + 9) !== UDP) return other;
    source = mapped(frame.subarray(ip + 12, ip + 16));
    destination = mapped(frame.subarray(ip + 16, ip + 20));
    ipPayload = view.getUint16(ip + 2) - 20;
    slow = words > 5 || (view.getUint16(ip + 6) & 0x3fff) !== 0;
    udp = ip + 20;
  } else if (type === 0x86dd) {
    if (!has(ip + 40) || view.getUint8(ip) >> 4 !== 6) return other;
    const next = view.getUint8(ip + 6);
    source = frame.slice(ip + 8, ip + 24);
    destination = frame.slice(ip + 24, ip + 40);
    ipPayload = view.getUint16(ip + 4);
    slow = EXTENSION_HEADERS.has(next);
    if (!slow && next !== UDP) return other;
    udp = ip + 40;
  } else {
    return other;
  }
  if (slow) return tables.isOwn(destination) ? { verdict: Verdict.PASS_SLOW_PATH } : other;
  if (!has(udp + 8) || view.getUint16(udp + 2) !== tables.port || !tables.isOwn(destination)) return other;

  // 3, as far as it is about lengths outside the datagram
  const length = view.getUint16(udp + 4);
  if (length !== ipPayload || length < 8 || !has(udp + 8 + Math.min(length - 8, 24)))
    return { verdict: Verdict.DROP_LENGTH };
  const payload = new Uint8Array(length - 8);
  payload.set(frame.subarray(udp + 8, udp + length));
  const { verdict, reply } = respond(payload, source, tables, monotonicMs);
  // A frame that ends before its datagram does is too short, but that is seen only after the header.
  if (!has(udp + length) && !SEEN_IN_THE_HEADER.has(verdict)) return { verdict: Verdict.DROP_LENGTH };
  if (reply === undefined) return { verdict };
  return { verdict, frame: turnRound(frame, ip, udp, reply) };
}

function mapped(ipv4: Uint8Array): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...ipv4);
}

function turnRound(frame: Uint8Array, ip: number, udp: number, reply: Uint8Array): Uint8Array {
  const out = frame.slice();
  const view = new DataView(out.buffer);
  out.set(frame.subarray(6, 12), 0);
  out.set(frame.subarray(0, 6), 6);
  const addressLength = udp - ip === 20 ? 4 : 16;
  const addresses = udp - 2 * addressLength;
  out.set(frame.subarray(addresses, addresses + addressLength), addresses + addressLength);
  out.set(frame.subarray(addresses + addressLength, udp), addresses);
  if (addressLength === 4) {
    view.setUint8(ip + 1, 0);
    view.setUint32(ip + 4, 0x4000);
    view.setUint8(ip + 8, 64);
    view.setUint16(ip + 10, 0);
    view.setUint16(ip + 10, internetChecksum(out.subarray(ip, udp)));
  } else {
    view.setUint32(ip, 0x6000_0000);
    view.setUint8(ip + 7, 64);
  }
  out.set(frame.subarray(udp, udp + 2), udp + 2);
  out.set(frame.subarray(udp + 2, udp + 4), udp);
  view.setUint16(udp + 6, 0);
  out.set(reply, udp + 8);
  const length = 8 + reply.length;
  const pseudo = Uint8Array.of(...out.subarray(addresses, udp), 0, UDP, length >> 8, length & 0xff);
  view.setUint16(udp + 6, internetChecksum(pseudo, out.subarray(udp, udp + length)) || 0xffff);
  return out;
}
