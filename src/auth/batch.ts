/**
 * BATCH replies, made and opened (docs/protocol.md, "BATCH"). May be imported by every floor above.
 */
import { batchEntryLayout, batchPrefixLayout, type Status } from '../abi.ts';
import { requireInteger } from './bytes.ts';
import { NEVER, viewOf } from './header.ts';
import { type AuthenticRequest, beginReply, isStatus, type Opened, openReply, refuse, sealReply } from './reply.ts';
import type { SentRequest } from './request.ts';

const at = batchPrefixLayout.offset;
const entry = batchEntryLayout.offset;

/** Fields as in `LookupAnswer`. */
export interface BatchAnswerEntry {
  readonly status: Status;
  readonly flags: number;
  readonly backendId: number;
  readonly ttlS: number;
  readonly version: bigint;
}

export interface BatchAnswer {
  /** Gateway's Unix time. */
  readonly timeMs: number;
  /** How long ago the gateway last knew itself in step with Redis; `NEVER`. */
  readonly ageMs: number;
  /** In the order of the request's hashes. */
  readonly entries: readonly BatchAnswerEntry[];
}

/**
 * @returns the datagram's payload, 56 + 16·n bytes
 * @throws TypeError or RangeError for a field of the wrong type or value, or another number of entries than was asked for
 */
export function sealBatchReply(request: AuthenticRequest, answer: BatchAnswer): Uint8Array {
  requireInteger('entries.length', answer.entries.length, request.count, request.count);
  requireInteger('ageMs', answer.ageMs, 0, NEVER);
  const bytes = beginReply(request, answer.timeMs);
  const view = viewOf(bytes);
  view.setUint16(at.count, request.count);
  view.setUint32(at.ageMs, answer.ageMs);
  let from: number = batchPrefixLayout.size;
  for (const { status, flags, backendId, ttlS, version } of answer.entries) {
    requireInteger('backendId', backendId, 0, 0xffff);
    requireInteger('ttlS', ttlS, 0, NEVER);
    view.setUint8(from + entry.status, status);
    view.setUint8(from + entry.flags, flags);
    view.setUint16(from + entry.backendId, backendId);
    view.setUint32(from + entry.ttlS, ttlS);
    view.setBigUint64(from + entry.version, version);
    from += batchEntryLayout.size;
  }
  return sealReply(request, bytes);
}

/** Opens the reply to a BATCH: what it says, or why it isn't one. Never throws for what a datagram holds. */
export function openBatchReply(request: SentRequest, datagram: Uint8Array): Opened<BatchAnswer> {
  const opened = openReply(request, datagram);
  if (!opened.ok) return opened;
  const { view, timeMs } = opened.reply;
  if (view.getUint16(at.count) !== request.count || view.getUint16(at.zero) !== 0) return refuse('content');
  const entries: BatchAnswerEntry[] = [];
  for (let i = 0; i < request.count; i++) {
    const from = batchPrefixLayout.size + batchEntryLayout.size * i;
    const status = view.getUint8(from + entry.status);
    if (!isStatus(status)) return refuse('content');
    entries.push({
      status,
      flags: view.getUint8(from + entry.flags),
      backendId: view.getUint16(from + entry.backendId),
      ttlS: view.getUint32(from + entry.ttlS),
      version: view.getBigUint64(from + entry.version),
    });
  }
  return { ok: true, reply: { timeMs, ageMs: view.getUint32(at.ageMs), entries } };
}
