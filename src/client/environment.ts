/**
 * What the client takes from the machine: clocks, timers, randomness, sockets, names. Passed in, so that tests can bring
 * their own. May be imported by src/client.
 */
import { randomFillSync } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';

export interface ResolvedHost {
  /** IP literal */
  readonly address: string;
  readonly family: 4 | 6;
}

export interface Environment {
  /** Unix time, whole milliseconds. */
  unixMs(): number;
  /** A clock that never steps, in milliseconds. */
  monotonicMs(): number;
  setTimer(callback: () => void, delayMs: number): NodeJS.Timeout;
  clearTimer(timer: NodeJS.Timeout): void;
  /** Calls back once input that is already waiting has been read. */
  afterInput(callback: () => void): void;
  /** Fills `bytes` from a cryptographically secure source. */
  fillRandom(bytes: Uint8Array): void;
  /** An unbound UDP socket. */
  createSocket(family: 4 | 6): Socket;
  /** Resolves a host name. */
  resolve(host: string): Promise<ResolvedHost>;
}

/** Room for the replies to a burst of some thousand requests; the kernel gives less where net.core.rmem_max is lower. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;

export const realEnvironment: Environment = {
  unixMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimer: (timer) => clearTimeout(timer),
  afterInput: (callback) => {
    setImmediate(callback);
  },
  fillRandom: (bytes) => {
    randomFillSync(bytes);
  },
  createSocket: (family) =>
    createSocket({ type: family === 6 ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES }),
  resolve: async (host) => {
    const { address, family } = await lookup(host);
    return { address, family: family === 6 ? 6 : 4 };
  },
};
