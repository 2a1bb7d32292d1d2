/**
 * The frames of SPOP 2.0 (HAProxy's SPOE.txt, section 3.2): those of HAProxy are read, those of an agent made. May be imported by
 * src/gateway/spoe only.
 */
import { Reader, type Value, write } from './bytes.ts';
import { SpopError, SpopStatus } from './errors.ts';

export const FrameType = {
  UNSET: 0,
  HAPROXY_HELLO: 1,
  HAPROXY_DISCONNECT: 2,
  NOTIFY: 3,
  AGENT_HELLO: 101,
  AGENT_DISCONNECT: 102,
  ACK: 103,
} as const;

/** Smallest size that two ends may agree on. */
export const FRAME_SIZE_MIN = 256;
/** Largest frame that is read, HAProxy's own default: tune.bufsize less the length. */
export const FRAME_SIZE_MAX = 16_380;
/** Before each frame. */
export const LENGTH_SIZE = 4;

const FIN = 1;
const SET_VAR = 1;
const SET_VAR_ARGUMENTS = 3;
/** Of the transaction: one request and its response. */
const SCOPE_TRANSACTION = 2;

const VERSION = '2.0';
const PIPELINING = 'pipelining';

export interface Frame {
  readonly type: number;
  /** Number of the stream and of the frame within it, as they came. */
  readonly streamId: Buffer;
  readonly frameId: Buffer;
  readonly payload: Reader;
}

/**
 * @param bytes one frame, without its length
 * @throws SpopError INVALID; FRAGMENTED for a part of a payload, of which the agent has said that it takes none
 */
export function readFrame(bytes: Buffer): Frame {
  const reader = new Reader(bytes);
  const type = reader.uint8();
  const isFinal = (reader.uint32() & FIN) !== 0;
  const streamId = reader.varintBytes();
  const frameId = reader.varintBytes();
  if (!isFinal || type === FrameType.UNSET) {
    throw new SpopError(SpopStatus.FRAGMENTED, 'frame: found a part of a payload, allowed: whole ones');
  }
  return { type, streamId, frameId, payload: reader };
}

export interface Hello {
  /** Largest frame of this connection, without its length. */
  readonly frameSize: number;
  readonly isPipelined: boolean;
  /** The connection is a health check and ends after the answer. */
  readonly isHealthCheck: boolean;
}

/** What both ends can do. @throws SpopError */
export function readHello(payload: Reader): Hello {
  const items = readItems(payload);
  const versions = items.get('supported-versions');
  const frameSize = items.get('max-frame-size');
  const capabilities = items.get('capabilities');
  if (typeof versions !== 'string') throw new SpopError(SpopStatus.NO_VERSION, 'hello: found no supported-versions');
  if (typeof frameSize !== 'number') throw new SpopError(SpopStatus.NO_FRAME_SIZE, 'hello: found no max-frame-size');
  if (typeof capabilities !== 'string') throw new SpopError(SpopStatus.NO_CAPABILITIES, 'hello: found no capabilities');
  // A version that is announced stands for all the minor ones before it.
  if (!listed(versions).some((version) => /^2\.\d+$/.test(version))) {
    throw new SpopError(SpopStatus.BAD_VERSION, 'hello: found no version 2, needed: 2.0');
  }
  if (frameSize < FRAME_SIZE_MIN) {
    throw new SpopError(SpopStatus.BAD_FRAME_SIZE, `hello: found max-frame-size ${frameSize}, allowed: from 256`);
  }
  return {
    frameSize: Math.min(frameSize, FRAME_SIZE_MAX),
    isPipelined: listed(capabilities).includes(PIPELINING),
    isHealthCheck: items.get('healthcheck') === true,
  };
}

function listed(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

function readItems(payload: Reader): Map<string, Value> {
  const items = new Map<string, Value>();
  while (!payload.isAtEnd) items.set(payload.string(), payload.value());
  return items;
}

/** The arguments of all messages of a NOTIFY; of two with one name the last counts. @throws SpopError INVALID */
export function readArguments(payload: Reader): Map<string, Value> {
  const found = new Map<string, Value>();
  while (!payload.isAtEnd) {
    payload.string(); // the message's name, which is the configuration's affair
    const count = payload.uint8();
    for (let i = 0; i < count; i++) found.set(payload.string(), payload.value());
  }
  return found;
}

const NO_ID = Buffer.of(0);

/** With its length, in one piece: HAProxy 2.6 reads an AGENT-HELLO that comes in two as a broken one. */
function frame(type: number, streamId: Buffer, frameId: Buffer, payload: readonly Buffer[]): Buffer {
  const head = [Buffer.of(type), write.uint32(FIN), streamId, frameId];
  const size = [...head, ...payload].reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([write.uint32(size), ...head, ...payload]);
}

function item(name: string, value: string | number): Buffer[] {
  return [write.string(name), write.value(value)];
}

export function agentHello({ frameSize, isPipelined }: Hello): Buffer {
  return frame(FrameType.AGENT_HELLO, NO_ID, NO_ID, [
    ...item('version', VERSION),
    ...item('max-frame-size', frameSize),
    ...item('capabilities', isPipelined ? PIPELINING : ''),
  ]);
}

export function agentDisconnect(status: SpopStatus, message: string): Buffer {
  return frame(FrameType.AGENT_DISCONNECT, NO_ID, NO_ID, [...item('status-code', status), ...item('message', message)]);
}

/** @param variables of the transaction, by their names without HAProxy's prefix */
export function ack(
  { streamId, frameId }: Pick<Frame, 'streamId' | 'frameId'>,
  variables: readonly (readonly [name: string, value: string | number])[],
): Buffer {
  const actions = variables.flatMap(([name, value]) => [
    Buffer.of(SET_VAR, SET_VAR_ARGUMENTS, SCOPE_TRANSACTION),
    write.string(name),
    write.value(value),
  ]);
  return frame(FrameType.ACK, streamId, frameId, actions);
}
