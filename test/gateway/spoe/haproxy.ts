/** HAProxy's end of SPOP, written apart from src/gateway/spoe: makes its frames, reads the agent's. */

export function varint(value: number | bigint): number[] {
  let rest = BigInt(value);
  if (rest < 240n) return [Number(rest)];
  const bytes = [Number((rest & 0xfn) | 0xf0n)];
  rest = (rest - 240n) >> 4n;
  while (rest >= 128n) {
    bytes.push(Number((rest & 0x7fn) | 0x80n));
    rest = (rest - 128n) >> 7n;
  }
  return [...bytes, Number(rest)];
}

const text = (value: string): number[] => {
  const bytes = [...Buffer.from(value)];
  return [...varint(bytes.length), ...bytes];
};

export type Typed = string | number | boolean | null | { raw: number[] };

export function typed(value: Typed): number[] {
  if (value === null) return [0];
  if (typeof value === 'boolean') return [value ? 0x11 : 0x01];
  if (typeof value === 'number') return [3, ...varint(value)];
  if (typeof value === 'string') return [8, ...text(value)];
  return value.raw;
}

const items = (values: Record<string, Typed>): number[] =>
  Object.entries(values).flatMap(([name, value]) => [...text(name), ...typed(value)]);

interface Head {
  flags?: number;
  streamId?: number | bigint;
  frameId?: number | bigint;
}

export function frame(type: number, payload: number[], { flags = 1, streamId = 0, frameId = 0 }: Head = {}): Buffer {
  const body = Buffer.from([type, 0, 0, 0, flags, ...varint(streamId), ...varint(frameId), ...payload]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

export const HELLO = { 'supported-versions': '2.0', 'max-frame-size': 16_380, capabilities: 'pipelining,async' };

export const hello = (change: Record<string, Typed> = {}, head: Head = {}): Buffer =>
  frame(1, items({ ...HELLO, ...change }), head);

/** A hello without one item. */
export function helloWithout(name: keyof typeof HELLO): Buffer {
  const { [name]: _, ...rest } = HELLO;
  return frame(1, items(rest));
}

export function notify(streamId: number | bigint, values: Record<string, Typed>, head: Head = {}): Buffer {
  const payload = [...text('session-gateway-lookup'), Object.keys(values).length, ...items(values)];
  return frame(3, payload, { streamId, frameId: 1, ...head });
}

export interface AgentFrame {
  type: number;
  streamId: bigint;
  frameId: bigint;
  /** Of a HELLO or DISCONNECT its items, of an ACK the variables of the transaction. */
  values: Record<string, string | bigint>;
}

/** The whole frames at the beginning. @throws Error for one that HAProxy would not take */
export function agentFrames(bytes: Buffer): AgentFrame[] {
  const frames: AgentFrame[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    if (at + 4 + size > bytes.length) break;
    frames.push(agentFrame(bytes.subarray(at + 4, at + 4 + size)));
    at += 4 + size;
  }
  return frames;
}

function agentFrame(bytes: Buffer): AgentFrame {
  let at = 5;
  const number = (): bigint => {
    let value = BigInt(bytes[at++] ?? 0);
    if (value < 240n) return value;
    for (let shift = 4n; ; shift += 7n) {
      const byte = BigInt(bytes[at++] ?? 0);
      value += byte << shift;
      if (byte < 128n) return value;
    }
  };
  const string = (): string => {
    const size = Number(number());
    at += size;
    return bytes.toString('utf8', at - size, at);
  };
  const value = (): string | bigint => {
    const type = bytes[at++];
    if (type === 8) return string();
    if (type === 3) return number();
    throw new Error(`found a value of type ${type}`);
  };
  const type = bytes[0] ?? 0;
  if (bytes.readUInt32BE(1) !== 1) throw new Error('found flags that are not FIN alone');
  const streamId = number();
  const frameId = number();
  const values: Record<string, string | bigint> = {};
  while (at < bytes.length) {
    if (type === 103) {
      if (bytes[at] !== 1 || bytes[at + 1] !== 3 || bytes[at + 2] !== 2) throw new Error('found no set-var of txn');
      at += 3;
    }
    const name = string();
    values[name] = value();
  }
  if (at !== bytes.length) throw new Error('found bytes beyond the end');
  return { type, streamId, frameId, values };
}
