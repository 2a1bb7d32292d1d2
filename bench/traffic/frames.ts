/**
 * Frames that are made and signed before anything is measured, by src/auth, and what has to come back for each. The last four bytes of a
 * request's nonce are its number. May be imported by bench only.
 */
import { randomBytes } from 'node:crypto';
import type { Status } from '../../src/abi.ts';
import { openBatchReply } from '../../src/auth/batch.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { openLookupReply } from '../../src/auth/lookup.ts';
import { encodeBatchRequest, encodeLookupRequest, type SentRequest } from '../../src/auth/request.ts';
import { buildFrame, internetChecksum, ipv4 } from '../../test/model/frames.ts';
import { SOURCES } from './network.ts';

/** Ethernet, IPv4 and UDP. */
export const HEADERS = 42;
const SOURCE_ADDRESS = 26;
const SOURCE_PORT = 34;
const NUMBER_IN_NONCE = HEADERS + 16 + 4;
const REPLY_KEY_SIZE = 16;
/** The generator copies whole words; a LOOKUP has 128. */
const GRANULE = 8;

export interface FrameSet {
  readonly name: string;
  /** Each `frameBytes` long, one after the other. */
  readonly bytes: Buffer;
  readonly frameBytes: number;
  readonly count: number;
  /** Lookups in a frame. */
  readonly lookups: number;
  /** Why a frame that came back is not what should have; undefined = it is. */
  readonly problemOf: (answer: Uint8Array) => string | undefined;
}

export interface Expected {
  readonly status: Status;
  readonly backendId: number;
}

export interface Target {
  readonly address: Uint8Array;
  readonly port: number;
}

/** Whatever is asked by UDP. */
export interface PayloadOrder {
  readonly name: string;
  readonly count: number;
  readonly target: Target;
  /** All of one length. */
  readonly payload: (i: number) => Uint8Array;
  readonly lookups?: number;
  readonly problemOf?: (payload: Uint8Array) => string | undefined;
}

/** Frames over IPv4 from many addresses and ports. */
export function framesOf(order: PayloadOrder): FrameSet {
  const { name, count, target, problemOf = () => undefined } = order;
  const first = order.payload(0);
  const frameBytes = first.length <= 128 - HEADERS ? 128 : Math.ceil((HEADERS + first.length) / GRANULE) * GRANULE;
  const template = buildFrame({
    source: ipv4(SOURCES.first, SOURCES.second, 0, 1),
    destination: target.address,
    destinationPort: target.port,
    payload: new Uint8Array(first.length),
    trailer: new Uint8Array(frameBytes - HEADERS - first.length),
  });
  template.fill(0, 40, 42); // no UDP checksum, as IPv4 allows: sockets would drop a wrong one
  const bytes = Buffer.alloc(count * frameBytes);
  for (let i = 0; i < count; i++) {
    const frame = bytes.subarray(i * frameBytes, (i + 1) * frameBytes);
    frame.set(template);
    frame.writeUInt16BE(1 + (i % 0xfffe), SOURCE_ADDRESS + 2);
    frame.writeUInt16BE(1024 + (i % 60_000), SOURCE_PORT);
    frame.writeUInt16BE(0, 24);
    frame.writeUInt16BE(internetChecksum(frame.subarray(14, 34)), 24);
    frame.set(i === 0 ? first : order.payload(i), HEADERS);
  }
  const problem = (answer: Uint8Array) =>
    problemOf(answer.subarray(HEADERS, answer[16] === undefined ? 0 : endOf(answer)));
  return { name, bytes, frameBytes, count, lookups: order.lookups ?? 1, problemOf: problem };
}

function endOf(frame: Uint8Array): number {
  return 14 + (((frame[16] ?? 0) << 8) | (frame[17] ?? 0));
}

export interface RequestOrder {
  readonly name: string;
  readonly count: number;
  readonly target: Target;
  /** Keys take turns. */
  readonly keys: readonly Key[];
  /** Unix ms that every request bears. */
  readonly timeMs: number;
  /** 1 = LOOKUP; else a BATCH of so many. */
  readonly batch: number;
  /** Cookie hash of the n-th question; a BATCH asks `batch` of them. */
  readonly hash: (n: number) => Uint8Array;
  readonly expected: (n: number) => Expected;
}

/** Signed requests, LOOKUP or BATCH. */
export function signedFrames(order: RequestOrder): FrameSet {
  const { count, keys, timeMs, batch, hash, expected } = order;
  const replyKeys = Buffer.alloc(count * REPLY_KEY_SIZE);
  const nonces = randomBytes(8 * count);
  const keyOf = (i: number): Key => keys[i % keys.length] as Key;
  const payload = (i: number): Uint8Array => {
    const nonce = nonces.subarray(8 * i, 8 * i + 8);
    nonce.writeUInt32BE(i, 4);
    const request =
      batch === 1
        ? encodeLookupRequest(keyOf(i), hash(i), timeMs, nonce)
        : encodeBatchRequest(
            keyOf(i),
            Array.from({ length: batch }, (_, j) => hash(i * batch + j)),
            timeMs,
            nonce,
          );
    replyKeys.set(request.replyKey, i * REPLY_KEY_SIZE);
    return request.bytes;
  };
  const set = framesOf({ name: order.name, count, target: order.target, payload, lookups: batch });
  const sent = (i: number): SentRequest => {
    const frame = set.bytes.subarray(i * set.frameBytes, (i + 1) * set.frameBytes);
    return {
      bytes: frame.subarray(HEADERS, endOf(frame)),
      type: batch === 1 ? 1 : 2,
      count: batch,
      encrypted: keyOf(i).encrypt,
      replyKey: replyKeys.subarray(i * REPLY_KEY_SIZE, (i + 1) * REPLY_KEY_SIZE),
    };
  };
  return { ...set, problemOf: (answer) => problemOf(answer, count, batch, sent, expected) };
}

function problemOf(
  answer: Uint8Array,
  count: number,
  batch: number,
  sent: (i: number) => SentRequest,
  expected: (n: number) => Expected,
): string | undefined {
  const payload = answer.subarray(HEADERS, endOf(answer));
  if (payload.length < 24) return `${payload.length} bytes`;
  const i = new DataView(answer.buffer, answer.byteOffset).getUint32(NUMBER_IN_NONCE);
  if (i >= count) return `an answer to request ${i} of ${count}`;
  const request = sent(i);
  const opened = batch === 1 ? openLookupReply(request, payload) : openBatchReply(request, payload);
  if (!opened.ok) return `refused: ${opened.reason}`;
  const entries = 'entries' in opened.reply ? opened.reply.entries : [opened.reply];
  const wrong = entries.findIndex(({ status, backendId }, j) => {
    const wanted = expected(i * batch + j);
    return status !== wanted.status || backendId !== wanted.backendId;
  });
  if (wrong < 0) return undefined;
  const { status, backendId } = entries[wrong] as Expected;
  const wanted = expected(i * batch + wrong);
  return `status ${status}, backend ${backendId}, expected ${wanted.status} and ${wanted.backendId}`;
}

/** The set with each payload changed, for what is not to be answered. */
export function changed(set: FrameSet, name: string, change: (payload: Uint8Array) => void): FrameSet {
  const bytes = Buffer.from(set.bytes);
  for (let i = 0; i < set.count; i++) change(bytes.subarray(i * set.frameBytes + HEADERS, (i + 1) * set.frameBytes));
  return { ...set, name, bytes, problemOf: () => 'an answer, where there should be none' };
}
