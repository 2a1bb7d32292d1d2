/**
 * One gateway as the client reaches it: a connected UDP socket, and the tries that wait for a reply on it, by nonce.
 * May be imported by src/client.
 *
 * The socket is connected, so the kernel passes on only what comes from that gateway's address and port, and reports that
 * nobody listens there. It never keeps the process running; the timer of a lookup under way does.
 *
 *   closed ──ask, no sooner than REOPEN_PAUSE_MS after the last──▶ opening ──▶ open
 *      ▲                                                              │          │ replaced by a new one after
 *      └──────────── name, route or socket missing ──────────────────┘          └ REPLACE_AFTER tries without reply
 *
 * Once open it stays so: tries go over the present socket until the new one is connected, or on where there is none.
 */
import type { Socket } from 'node:dgram';
import { isIP } from 'node:net';
import { HEADER_SIZE, NONCE_SIZE } from '../auth/header.ts';
import type { ReplyRefusal } from '../auth/reply.ts';
import type { Environment, ResolvedHost } from './environment.ts';
import { ServerMemory } from './server-memory.ts';
import type { ServerStats } from './server-stats.ts';
import { closed, plainBytes } from './sockets.ts';

/** A request that waits for its reply. */
export interface WaitingTry {
  readonly bytes: Uint8Array;
  /** Kept by the server: asked while the socket was opening, it is sent later. */
  isSent: boolean;
  /** Takes the reply. @returns why this is not it; null where it was */
  receive(datagram: Uint8Array): ReplyRefusal | null;
  /** It will not be answered. Called at the top of the stack, never from within `ask`. */
  refused(): void;
}

/** Shortest time between two openings of a socket. */
export const REOPEN_PAUSE_MS = 1000;

/**
 * Tries in a row without a reply after which the socket is replaced: the local address it is bound to or the address of
 * the name may have changed, or a middle box may have lost it.
 */
export const REPLACE_AFTER = 16;

const NONCE_AT = HEADER_SIZE - NONCE_SIZE;

/** A nonce as a map's key. */
export function nonceKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', NONCE_AT, HEADER_SIZE);
}

export class Server {
  readonly label: string;
  readonly memory = new ServerMemory();
  readonly #host: string;
  readonly #port: number;
  readonly #environment: Environment;
  readonly #waiting = new Map<string, WaitingTry>();
  /** Connected. */
  #socket: Socket | null = null;
  /** Being connected, which waits for nobody: tries are kept until then. */
  #next: Socket | null = null;
  /** From when the name is looked up, which may take long, until `next` has become `socket`. */
  #isOpening = false;
  /** What the name last stood for: used while it can't be resolved. */
  #resolved: ResolvedHost | null = null;
  #isEnded = false;
  #reopenAtMs = Number.NEGATIVE_INFINITY;
  #lastError: string | null = null;
  #tries = 0;
  #replies = 0;
  #ignored = 0;
  #silent = 0;
  #refused = 0;
  #opened = 0;

  constructor(host: string, port: number, environment: Environment) {
    this.label = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
    this.#host = host;
    this.#port = port;
    this.#environment = environment;
    this.#open(environment.monotonicMs());
  }

  /**
   * Sends a try, or does so once the socket is open, and gives it what may be its reply.
   * @param key nonce of the try, made by `nonceKey`
   * @returns false where there is no socket now: the try is not waiting
   */
  ask(key: string, asking: WaitingTry, nowMs: number): boolean {
    this.memory.asked(nowMs);
    const isNeeded = this.#socket === null || this.#isLost();
    if (isNeeded && !this.#isOpening && nowMs >= this.#reopenAtMs) this.#open(nowMs);
    if (this.#socket === null && !this.#isOpening) {
      this.#refused += 1;
      this.memory.failed(nowMs);
      return false;
    }
    this.#tries += 1;
    this.#waiting.set(key, asking);
    if (this.#socket !== null && this.#next === null) this.#send(key, asking, true);
    return true;
  }

  /** The try's reply is no longer waited for. */
  forget(key: string): void {
    this.#waiting.delete(key);
  }

  /** A try has waited for its whole time. */
  wasSilent(nowMs: number): void {
    this.#silent += 1;
    this.memory.failed(nowMs);
  }

  stats(nowMs: number): ServerStats {
    return {
      server: this.label,
      socket: this.#socket !== null ? 'open' : this.#isOpening ? 'opening' : 'closed',
      standing: this.memory.standing(nowMs),
      tries: this.#tries,
      replies: this.#replies,
      ignored: this.#ignored,
      silent: this.#silent,
      refused: this.#refused,
      opened: this.#opened,
      lastError: this.#lastError,
    };
  }

  /** Ends the server for good; nothing may be waiting. Resolves once the socket is closed. */
  async end(): Promise<void> {
    this.#isEnded = true;
    const sockets = [this.#socket, this.#next].filter((socket) => socket !== null);
    this.#socket = null;
    this.#next = null;
    this.#isOpening = false;
    await Promise.all(sockets.map((socket) => closed(socket)));
  }

  #isLost(): boolean {
    return this.memory.unanswered >= REPLACE_AFTER;
  }

  #open(nowMs: number): void {
    this.#isOpening = true;
    this.#reopenAtMs = nowMs + REOPEN_PAUSE_MS;
    this.#connect().catch((error: unknown) => this.#notOpened(error));
  }

  /** Every way that it can fail comes later than `#open` returns. */
  async #connect(): Promise<void> {
    const family = isIP(this.#host);
    const target: ResolvedHost =
      family === 0 ? await this.#resolve() : { address: this.#host, family: family === 6 ? 6 : 4 };
    if (this.#isEnded) return;
    if (this.#socket !== null && !this.#isLost()) {
      // A reply came while the name was looked up.
      this.#isOpening = false;
      return;
    }
    const socket = this.#environment.createSocket(target.family);
    this.#next = socket;
    this.#opened += 1;
    socket.unref();
    socket.on('message', (datagram) => {
      if (socket === this.#socket) this.#receive(plainBytes(datagram));
    });
    socket.on('error', (error) => {
      if (socket === this.#socket) this.#refuseAll(error);
      else if (socket === this.#next) this.#notOpened(error);
    });
    socket.once('connect', () => {
      if (socket === this.#next) this.#takeOver(socket);
    });
    socket.connect(this.#port, target.address);
  }

  /** @throws where the name can't be resolved, and never could */
  async #resolve(): Promise<ResolvedHost> {
    try {
      this.#resolved = await this.#environment.resolve(this.#host);
    } catch (error) {
      if (this.#resolved === null) throw error;
      this.#lastError = messageOf(error);
    }
    return this.#resolved;
  }

  /** Tries that were sent over the former socket are left to their time-outs. */
  #takeOver(socket: Socket): void {
    const former = this.#socket;
    this.#socket = socket;
    this.#next = null;
    this.#isOpening = false;
    if (former !== null) void closed(former);
    this.#sendUnsent();
  }

  #notOpened(error: unknown): void {
    if (this.#isEnded) return;
    const failed = this.#next;
    this.#next = null;
    this.#isOpening = false;
    if (failed !== null) void closed(failed);
    if (this.#socket === null) {
      this.#refuseAll(error);
      return;
    }
    this.#lastError = messageOf(error);
    this.#sendUnsent();
  }

  #sendUnsent(): void {
    for (const [key, asking] of this.#waiting) {
      if (!asking.isSent) this.#send(key, asking, true);
    }
  }

  #send(key: string, asking: WaitingTry, again: boolean): void {
    const socket = this.#socket;
    asking.isSent = true;
    socket?.send(asking.bytes, (error) => {
      if (!error || socket !== this.#socket || this.#waiting.get(key) !== asking) return;
      // send reports, in place of sending, that an earlier datagram found no receiver; that says nothing of this one.
      if (again && 'code' in error && error.code === 'ECONNREFUSED') {
        this.#send(key, asking, false);
        return;
      }
      this.#lastError = error.message;
      this.#waiting.delete(key);
      this.#refuse([asking]);
    });
  }

  #receive(datagram: Uint8Array): void {
    const key = datagram.length < HEADER_SIZE ? '' : nonceKey(datagram);
    const asking = this.#waiting.get(key);
    if (asking === undefined) {
      this.#ignored += 1;
      return;
    }
    if (asking.receive(datagram) === null) {
      this.#replies += 1;
      this.#waiting.delete(key);
    } else {
      this.#ignored += 1;
    }
  }

  /** An error that is not of one datagram: which tries it means can't be told, so it is taken to mean all. */
  #refuseAll(error: unknown): void {
    this.#lastError = messageOf(error);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#refuse(waiting);
  }

  #refuse(tries: readonly WaitingTry[]): void {
    this.#refused += tries.length;
    this.memory.failed(this.#environment.monotonicMs());
    for (const asking of tries) asking.refused();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
