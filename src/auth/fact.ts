/**
 * FACT replies, made and opened (docs/protocol.md, "FACT reply"). May be imported by every floor above.
 */
import { factReplyLayout, Status, Wire } from '../abi.ts';
import { isZero, requireInteger } from './bytes.ts';
import { NEVER, viewOf } from './header.ts';
import { type AuthenticRequest, beginReply, isStatus, type Opened, openReply, refuse, sealReply } from './reply.ts';
import type { SentRequest } from './request.ts';

const at = factReplyLayout.offset;

export type FactStatus = Exclude<Status, typeof Status.DENIED>;

export interface FactAnswer {
  /** Gateway's Unix time. */
  readonly timeMs: number;
  readonly status: FactStatus;
  /** Bits of `Flag`. */
  readonly flags: number;
  /** 0 to 24 bytes */
  readonly value: Uint8Array;
  /** 0 if there is no such fact */
  readonly version: bigint;
  /** How long ago the gateway last knew itself in step with Redis; `NEVER`. */
  readonly ageMs: number;
}

/**
 * @returns the datagram's payload, 80 bytes
 * @throws TypeError or RangeError for a field of the wrong type or value
 */
export function sealFactReply(request: AuthenticRequest, answer: FactAnswer): Uint8Array {
  requireInteger('value.length', answer.value.length, 0, Wire.FACT_MAX);
  requireInteger('ageMs', answer.ageMs, 0, NEVER);
  const bytes = beginReply(request, answer.timeMs);
  const view = viewOf(bytes);
  view.setUint8(at.status, answer.status);
  view.setUint8(at.flags, answer.flags);
  view.setUint16(at.valueLength, answer.value.length);
  bytes.set(answer.value, at.value);
  view.setBigUint64(at.version, answer.version);
  view.setUint32(at.ageMs, answer.ageMs);
  return sealReply(request, bytes);
}

/** Opens the reply to a FACT: what it says, or why it isn't one. Never throws for what a datagram holds. */
export function openFactReply(request: SentRequest, datagram: Uint8Array): Opened<FactAnswer> {
  const opened = openReply(request, datagram);
  if (!opened.ok) return opened;
  const { bytes, view, timeMs } = opened.reply;
  const status = view.getUint8(at.status);
  const valueLength = view.getUint16(at.valueLength);
  if (!isStatus(status) || status === Status.DENIED || valueLength > Wire.FACT_MAX) return refuse('content');
  const valueEnd = at.value + valueLength;
  if (!isZero(bytes, valueEnd, at.version)) return refuse('content');
  return {
    ok: true,
    reply: {
      timeMs,
      status,
      flags: view.getUint8(at.flags),
      value: bytes.subarray(at.value, valueEnd),
      version: view.getBigUint64(at.version),
      ageMs: view.getUint32(at.ageMs),
    },
  };
}
