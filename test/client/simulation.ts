/**
 * A machine for tests, with a network and a clock that moves only when told: what a client does and when can be
 * tested to the millisecond. Gateways are those of fake-gateway.ts.
 */
import type { Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import type { Environment } from '../../src/client/environment.ts';
import type { GatewayModel } from './fake-gateway.ts';

/** Unix time when a simulation begins. */
export const EPOCH_MS = 1_800_000_000_000;

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** How a host behaves: answers after some time, stays silent, or has no receiver on the port. */
export type Host = { readonly model: GatewayModel; delayMs: number } | 'silent' | 'refusing';

export class Simulation {
  nowMs = 1000;
  /** By IP literal. Others are silent. */
  readonly hosts = new Map<string, Host>();
  /** By name. Others can't be resolved. */
  readonly names = new Map<string, string>();
  /** Addresses that datagrams were sent to, with the time since the beginning. */
  readonly sent: { readonly to: string; readonly atMs: number }[] = [];
  readonly sockets: SimulatedSocket[] = [];
  /** Opening a socket fails with this. */
  openError: Error | null = null;
  /** How much too early timers come. */
  earlyMs = 0;
  /** Sending fails with this. */
  sendError: Error | null = null;
  readonly #timers = new Set<Timer>();
  readonly #clientTimers = new Set<Timer>();
  #random = 0;

  get environment(): Environment {
    return {
      unixMs: () => EPOCH_MS + Math.floor(this.nowMs),
      monotonicMs: () => this.nowMs,
      setTimer: (callback, delayMs) => {
        const timer = this.after(Math.max(0, delayMs - this.earlyMs), callback);
        this.#clientTimers.add(timer);
        return timer as unknown as NodeJS.Timeout;
      },
      clearTimer: (timer) => this.#timers.delete(timer as unknown as Timer),
      afterInput: (callback) => {
        this.after(0, callback);
      },
      fillRandom: (bytes) => {
        for (let i = 0; i < bytes.length; i += 4) new DataView(bytes.buffer).setUint32(i, this.#random++);
      },
      createSocket: () => {
        const socket = new SimulatedSocket(this);
        this.sockets.push(socket);
        return socket as unknown as Socket;
      },
      resolve: async (host) => {
        const address = this.names.get(host);
        if (address === undefined) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
        return { address, family: 4 };
      },
    };
  }

  /** Timers of the client's that are set. */
  get timerCount(): number {
    return [...this.#timers].filter((timer) => this.#clientTimers.has(timer)).length;
  }

  get openSockets(): number {
    return this.sockets.filter(({ isClosed }) => !isClosed).length;
  }

  /** A gateway at an address. */
  place(address: string, model: GatewayModel, delayMs = 1): { model: GatewayModel; delayMs: number } {
    const host = { model, delayMs };
    this.hosts.set(address, host);
    return host;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { dueMs: this.nowMs + delayMs, callback };
    this.#timers.add(timer);
    return timer;
  }

  /** Lets time pass, and what is due happen in its order. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    await settle();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      this.#timers.delete(next);
      next.callback();
      await settle();
    }
    this.nowMs = untilMs;
  }

  /** Lets time pass until the promise is settled, at most a minute. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const mark = () => {
      isSettled = true;
    };
    promise.then(mark, mark);
    await settle();
    for (let ms = 0; ms < 60_000 && !isSettled; ms++) await this.pass(1);
    if (!isSettled) throw new Error('not settled within a minute');
    return promise;
  }

  #next(untilMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= untilMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }
}

/** The part of a dgram socket that the client uses. */
export class SimulatedSocket extends EventEmitter {
  readonly #simulation: Simulation;
  #peer = '';
  isClosed = false;
  isUnreferenced = false;

  constructor(simulation: Simulation) {
    super();
    this.#simulation = simulation;
  }

  unref(): void {
    this.isUnreferenced = true;
  }

  connect(_port: number, address: string): void {
    this.#peer = address;
    const { openError } = this.#simulation;
    queueMicrotask(() => {
      if (!this.isClosed) this.emit(openError === null ? 'connect' : 'error', openError);
    });
  }

  send(bytes: Uint8Array, callback: (error: Error | null) => void): void {
    const simulation = this.#simulation;
    const { sendError } = simulation;
    if (sendError !== null) {
      queueMicrotask(() => callback(sendError));
      return;
    }
    simulation.sent.push({ to: this.#peer, atMs: simulation.nowMs - 1000 });
    const host = simulation.hosts.get(this.#peer) ?? 'silent';
    if (host === 'silent') return;
    if (host === 'refusing') {
      simulation.after(0, () => this.#deliver('error', refusal()));
      return;
    }
    const reply = host.model.answer(bytes.slice(), EPOCH_MS + Math.floor(simulation.nowMs));
    if (reply !== undefined) simulation.after(host.delayMs, () => this.#deliver('message', Buffer.from(reply)));
  }

  close(): void {
    if (this.isClosed) throw new Error('Not running');
    this.isClosed = true;
    queueMicrotask(() => this.emit('close'));
  }

  #deliver(event: 'error' | 'message', what: Error | Buffer): void {
    if (!this.isClosed) this.emit(event, what);
  }
}

/** As the kernel reports it. */
export function refusal(): Error {
  return Object.assign(new Error('recvmsg ECONNREFUSED'), { code: 'ECONNREFUSED' });
}

/** Lets promises that can go on do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
