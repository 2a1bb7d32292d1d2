/**
 * What a gateway does with a datagram: steps 3 to 9 of docs/protocol.md, "What a gateway does with a packet, in this order".
 * The same order as bpf/gateway.bpf.c, which is tested against this. May be imported by every floor above.
 *
 * Nothing is looked up, and nothing is answered, before the tag has been found right.
 */
import { batchPrefixLayout, Flag, lookupRequestLayout, RequestType, Status, Verdict, Wire } from '../abi.ts';
import { type BatchAnswerEntry, sealBatchReply } from './batch.ts';
import { NAME_HASH_SIZE } from './cookie.ts';
import { sealFactReply } from './fact.ts';
import {
  HEADER_SIZE,
  LONGEST,
  NEVER,
  nonceOf,
  readKeyId,
  readMagic,
  readTimeMs,
  readType,
  readVersion,
  sizeOf,
  viewOf,
} from './header.ts';
import { sealLookupReply } from './lookup.ts';
import { isShed, movedTo, slotOf } from './placement.ts';
import type { AuthenticRequest } from './reply.ts';
import { authenticate, batchCount, batchHashAt, guardMatches, reservedIsZero } from './request.ts';
import type { BackendRecord, ResponderSettings, ResponderTables } from './responder-tables.ts';

export interface Response {
  readonly verdict: Verdict;
  /** Payload to send back to where the datagram came from, from where it was sent to. There is one for the REPLY verdicts. */
  readonly reply?: Uint8Array;
}

/** The moment of a reply, as it goes into its fields. */
interface Moment {
  /** Unix time */
  readonly nowMs: number;
  readonly ageMs: number;
  /** `Flag.STALE` or 0 */
  readonly staleFlag: number;
}

const NO_ADDRESS = new Uint8Array(16);
const NO_VALUE = new Uint8Array(0);

/**
 * @param datagram UDP payload; left as it is
 * @param source sender's address, 16 bytes, IPv4 as ::ffff:a.b.c.d
 * @param monotonicMs the monotonic clock, whole milliseconds
 */
export function respond(
  datagram: Uint8Array,
  source: Uint8Array,
  tables: ResponderTables,
  monotonicMs: number,
): Response {
  const { settings } = tables;

  // 3. Form.
  if (datagram.length < HEADER_SIZE) return { verdict: Verdict.DROP_LENGTH };
  if (!tables.allows(source)) return { verdict: Verdict.DROP_SOURCE };
  const view = viewOf(datagram);
  if (readMagic(view) !== Wire.MAGIC) return { verdict: Verdict.DROP_MAGIC };
  if (readVersion(view) !== Wire.VERSION) return { verdict: Verdict.DROP_VERSION };
  const type = readType(view);
  if (!isRequestType(type)) return { verdict: Verdict.DROP_TYPE };
  const count = entryCount(type, datagram, view);
  if (count === 0 || datagram.length !== sizeOf(type, count)) return { verdict: Verdict.DROP_LENGTH };
  if (!reservedIsZero(datagram, type)) return { verdict: Verdict.DROP_RESERVED };

  // 4. Key. No key has the id 0.
  const keyId = readKeyId(view);
  const key = tables.key(keyId);
  if (key === undefined) return { verdict: Verdict.DROP_KEY_UNKNOWN };
  const nowMs = monotonicMs + settings.clockOffsetMs;
  if (!key.validAt(nowMs)) return { verdict: Verdict.DROP_KEY_TIME };

  // 5. Guard.
  if (!guardMatches(key, datagram, type, count)) return { verdict: Verdict.DROP_GUARD };

  // 6. Clock.
  const skewed = Math.abs(nowMs - readTimeMs(view)) > settings.maxSkewMs;
  if (skewed && !tables.spendSkewBudget(nowMs)) return { verdict: Verdict.DROP_SKEW_BUDGET };

  // 7. Tag.
  const replyKey = authenticate(key, datagram, type, count);
  if (replyKey === undefined) return { verdict: Verdict.DROP_TAG };
  tables.countKeyUse?.(keyId);

  const request = { type, keyId, nonce: nonceOf(datagram), count, encrypted: key.encrypt, replyKey };
  const moment = momentOf(settings, monotonicMs, nowMs);

  // 8. Answers that look nothing up.
  if (skewed) {
    return { verdict: Verdict.REPLY_CLOCK_SKEW, reply: sealEmpty(request, moment, Status.CLOCK_SKEW) };
  }
  if (!settings.ready) {
    return { verdict: Verdict.REPLY_NOT_READY, reply: sealEmpty(request, moment, Status.NOT_READY) };
  }

  // 9. Look up, answer.
  if (type === RequestType.LOOKUP) return answerLookup(request, datagram, tables, moment);
  if (type === RequestType.FACT) return answerFact(request, datagram, tables, moment);
  return answerBatch(request, datagram, tables, moment);
}

function isRequestType(type: number): type is RequestType {
  return type === RequestType.LOOKUP || type === RequestType.BATCH || type === RequestType.FACT;
}

/** 1 to 64; 1 for what isn't a BATCH; 0 for a BATCH that has no such number. */
function entryCount(type: RequestType, datagram: Uint8Array, view: DataView): number {
  if (type !== RequestType.BATCH) return 1;
  if (datagram.length < batchPrefixLayout.size) return 0;
  const count = batchCount(view);
  return count <= Wire.BATCH_MAX ? count : 0;
}

function momentOf(settings: ResponderSettings, monotonicMs: number, nowMs: number): Moment {
  const { inStepMs, staleAfterMs } = settings;
  if (inStepMs === 0) return { nowMs, ageMs: NEVER, staleFlag: Flag.STALE };
  // Below 0 where the clock that inStepMs was read from runs ahead of this one: the kernel reads one that moves in steps.
  const ageMs = Math.min(Math.max(0, monotonicMs - inStepMs), LONGEST);
  return { nowMs, ageMs, staleFlag: ageMs > staleAfterMs ? Flag.STALE : 0 };
}

/** CLOCK_SKEW and NOT_READY: every field but the age is zero. */
function sealEmpty(
  request: AuthenticRequest,
  moment: Moment,
  status: typeof Status.CLOCK_SKEW | typeof Status.NOT_READY,
): Uint8Array {
  const { nowMs: timeMs, ageMs } = moment;
  if (request.type === RequestType.BATCH) {
    const entries = Array.from({ length: request.count }, () => emptyEntry(status, 0));
    return sealBatchReply(request, { timeMs, ageMs, entries });
  }
  if (request.type === RequestType.FACT) {
    return sealFactReply(request, { timeMs, status, flags: 0, value: NO_VALUE, version: 0n, ageMs });
  }
  return sealLookupReply(request, { timeMs, ageMs, port: 0, address: NO_ADDRESS, ...emptyEntry(status, 0) });
}

function answerLookup(
  request: AuthenticRequest,
  datagram: Uint8Array,
  tables: ResponderTables,
  moment: Moment,
): Response {
  const { nowMs: timeMs, ageMs } = moment;
  const { entry, port, address, verdict } = resolve(tables, hashAt(datagram, lookupRequestLayout.offset.hash), moment);
  return { verdict, reply: sealLookupReply(request, { timeMs, ageMs, port, address, ...entry }) };
}

function answerBatch(
  request: AuthenticRequest,
  datagram: Uint8Array,
  tables: ResponderTables,
  moment: Moment,
): Response {
  const { nowMs: timeMs, ageMs } = moment;
  const entries: BatchAnswerEntry[] = [];
  for (let i = 0; i < request.count; i++) {
    entries.push(resolve(tables, hashAt(datagram, batchHashAt(i)), moment).entry);
  }
  return { verdict: Verdict.REPLY_FOUND, reply: sealBatchReply(request, { timeMs, ageMs, entries }) };
}

function answerFact(
  request: AuthenticRequest,
  datagram: Uint8Array,
  tables: ResponderTables,
  moment: Moment,
): Response {
  const { nowMs: timeMs, ageMs, staleFlag: flags } = moment;
  const fact = tables.fact(hashAt(datagram, lookupRequestLayout.offset.hash));
  const found = fact !== undefined;
  const reply = sealFactReply(request, {
    timeMs,
    status: found ? Status.FOUND : Status.NOT_FOUND,
    flags,
    value: found ? fact.value : NO_VALUE,
    version: found ? fact.version : 0n,
    ageMs,
  });
  return { verdict: found ? Verdict.REPLY_FOUND : Verdict.REPLY_NOT_FOUND, reply };
}

/** Where the user of a session belongs. */
interface Resolution {
  readonly verdict: Verdict;
  readonly entry: BatchAnswerEntry;
  readonly port: number;
  readonly address: Uint8Array;
}

function resolve(tables: ResponderTables, hash: Uint8Array, moment: Moment): Resolution {
  const { nowMs, staleFlag } = moment;
  if (tables.denied(hash) > nowMs) return withoutBackend(Verdict.REPLY_DENIED, Status.DENIED, staleFlag);

  const session = tables.session(hash);
  const live =
    session !== undefined &&
    session.generation >= tables.settings.generation &&
    (session.expiresMs === 0 || session.expiresMs > nowMs);
  const stored = live ? knownBackend(tables, session.backendId) : undefined;
  if (!live || stored === undefined) return resolvePlaced(tables, hash, staleFlag);

  const { version } = session;
  const found = { status: Status.FOUND, ttlS: ttlOf(session.expiresMs, nowMs), version };
  const to = movedTo(tables.ring(), stored, hash);
  const elsewhere = knownBackend(tables, to);
  if (elsewhere !== undefined) {
    tables.countAnswer?.(to);
    const entry = { ...found, flags: staleFlag | Flag.MOVED, backendId: to };
    return { verdict: Verdict.REPLY_MOVED, entry, ...endpointOf(elsewhere) };
  }
  tables.countAnswer?.(session.backendId);
  const entry = { ...found, flags: staleFlag, backendId: session.backendId };
  return { verdict: Verdict.REPLY_FOUND, entry, ...endpointOf(stored) };
}

/** For a user without a backend: where every gateway would place it. */
function resolvePlaced(tables: ResponderTables, hash: Uint8Array, staleFlag: number): Resolution {
  const to = placedAt(tables, hash);
  const backend = knownBackend(tables, to);
  if (backend === undefined) return withoutBackend(Verdict.REPLY_NOT_FOUND, Status.NOT_FOUND, staleFlag);
  tables.countAnswer?.(to);
  const entry = { ...emptyEntry(Status.NOT_FOUND, staleFlag | Flag.PLACED), backendId: to };
  return { verdict: Verdict.REPLY_PLACED, entry, ...endpointOf(backend) };
}

function withoutBackend(verdict: Verdict, status: Status, flags: number): Resolution {
  return { verdict, entry: emptyEntry(status, flags), port: 0, address: NO_ADDRESS };
}

/** @param id 0 = none */
function knownBackend(tables: ResponderTables, id: number): BackendRecord | undefined {
  const backend = id === 0 ? undefined : tables.backend(id);
  return backend?.known ? backend : undefined;
}

/** Id of the backend that a user without one is sent to; 0 = none. */
function placedAt(tables: ResponderTables, hash: Uint8Array): number {
  const slot = slotOf(hash);
  const placed = tables.ring().placed[slot] as number;
  const moved = tables.ring().moved[slot] as number;
  const backend = knownBackend(tables, placed);
  return backend !== undefined && moved !== 0 && isShed(backend, hash) ? moved : placed;
}

function endpointOf({ port, address }: BackendRecord): { readonly port: number; readonly address: Uint8Array } {
  return { port, address };
}

function ttlOf(expiresMs: number, nowMs: number): number {
  return expiresMs === 0 ? NEVER : Math.min(Math.ceil((expiresMs - nowMs) / 1000), LONGEST);
}

function emptyEntry(status: Status, flags: number): BatchAnswerEntry {
  return { status, flags, backendId: 0, ttlS: 0, version: 0n };
}

function hashAt(datagram: Uint8Array, at: number): Uint8Array {
  return datagram.subarray(at, at + NAME_HASH_SIZE);
}
