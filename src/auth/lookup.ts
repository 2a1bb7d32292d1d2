/**
 * LOOKUP replies, made and opened (docs/protocol.md, "LOOKUP reply"). May be imported by every floor above.
 */
import { lookupReplyLayout, type Status } from '../abi.ts';
import { requireBytes, requireInteger } from './bytes.ts';
import { NEVER, viewOf } from './header.ts';
import { type AuthenticRequest, beginReply, isStatus, type Opened, openReply, refuse, sealReply } from './reply.ts';
import type { SentRequest } from './request.ts';

const at = lookupReplyLayout.offset;
const ADDRESS_SIZE = at.version - at.address;

export interface LookupAnswer {
  /** Gateway's Unix time. */
  readonly timeMs: number;
  readonly status: Status;
  /** Bits of `Flag`. */
  readonly flags: number;
  /** 0 if unknown */
  readonly port: number;
  /** 1 to 65535; 0 if none */
  readonly backendId: number;
  /** 16 bytes: IPv6, or IPv4 as ::ffff:a.b.c.d; zeros if unknown */
  readonly address: Uint8Array;
  /** The record's version; 0 if there is no record. */
  readonly version: bigint;
  /** Seconds until the record expires, rounded up; `NEVER`; 0 if there is no record. */
  readonly ttlS: number;
  /** How long ago the gateway last knew itself in step with Redis; `NEVER`. */
  readonly ageMs: number;
}

/**
 * @returns the datagram's payload, 80 bytes
 * @throws TypeError or RangeError for a field of the wrong type or value
 */
export function sealLookupReply(request: AuthenticRequest, answer: LookupAnswer): Uint8Array {
  requireInteger('port', answer.port, 0, 0xffff);
  requireInteger('backendId', answer.backendId, 0, 0xffff);
  requireBytes('address', answer.address, ADDRESS_SIZE);
  requireInteger('ttlS', answer.ttlS, 0, NEVER);
  requireInteger('ageMs', answer.ageMs, 0, NEVER);
  const bytes = beginReply(request, answer.timeMs);
  const view = viewOf(bytes);
  view.setUint8(at.status, answer.status);
  view.setUint8(at.flags, answer.flags);
  view.setUint16(at.port, answer.port);
  view.setUint32(at.backendId, answer.backendId);
  bytes.set(answer.address, at.address);
  view.setBigUint64(at.version, answer.version);
  view.setUint32(at.ttlS, answer.ttlS);
  view.setUint32(at.ageMs, answer.ageMs);
  return sealReply(request, bytes);
}

/** Opens the reply to a LOOKUP: what it says, or why it isn't one. Never throws for what a datagram holds. */
export function openLookupReply(request: SentRequest, datagram: Uint8Array): Opened<LookupAnswer> {
  const opened = openReply(request, datagram);
  if (!opened.ok) return opened;
  const { bytes, view, timeMs } = opened.reply;
  const status = view.getUint8(at.status);
  const backendId = view.getUint32(at.backendId);
  if (!isStatus(status) || backendId > 0xffff) return refuse('content');
  return {
    ok: true,
    reply: {
      timeMs,
      status,
      flags: view.getUint8(at.flags),
      port: view.getUint16(at.port),
      backendId,
      address: bytes.subarray(at.address, at.address + ADDRESS_SIZE),
      version: view.getBigUint64(at.version),
      ttlS: view.getUint32(at.ttlS),
      ageMs: view.getUint32(at.ageMs),
    },
  };
}
