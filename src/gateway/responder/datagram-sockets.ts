/**
 * One UDP socket for each address that the gateway answers on, so that a reply comes from the address that was asked. The addresses
 * follow those of the interfaces; one that can't be listened on is tried again. May be imported by src/gateway only.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { addressBytes, addressText } from '../addresses.ts';
import type { Logger } from '../log.ts';

/** As replies of the XDP program have it. */
const HOP_LIMIT = 64;
const RECEIVE_BUFFER_BYTES = 1 << 20;
const SEND_BUFFER_BYTES = 1 << 20;
/** Replies of a socket that wait in this process where its buffer is full: as many as one answer of Redis may bring at once (misses.ts). */
const SEND_QUEUE_MAX = 4_096;

/** Where a datagram came from. Good as long as its socket is. */
export interface Sender {
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d */
  readonly source: Uint8Array;
  /** Sends back from the address that was asked; what can't be sent is lost, as in a network. */
  reply(datagram: Uint8Array): void;
}

export interface DatagramSocketsOptions {
  readonly port: number;
  readonly log: Pick<Logger, 'error' | 'info'>;
  /** Name of the interface that has this link-local address: without it such an address means nothing. */
  zoneOf(address: Uint8Array): string | undefined;
  received(datagram: Uint8Array, sender: Sender): void;
}

export class DatagramSockets {
  readonly #options: DatagramSocketsOptions;
  /** By address as text; undefined where it is to be tried again. */
  readonly #sockets = new Map<string, Socket | undefined>();
  /** Why an address is not listened on, so that it is logged once. */
  readonly #failures = new Map<string, string>();
  #pending = 0;
  #unsent = 0;
  #settled: (() => void)[] = [];

  constructor(options: DatagramSocketsOptions) {
    this.#options = options;
  }

  /** Listens on exactly these addresses, of 16 bytes, from now on. */
  setAddresses(addresses: readonly Uint8Array[]): void {
    const wanted = new Map(addresses.map((address) => [addressText(address), address]));
    for (const [text, socket] of this.#sockets) {
      if (wanted.has(text)) continue;
      socket?.close();
      this.#sockets.delete(text);
      this.#failures.delete(text);
    }
    for (const text of wanted.keys()) if (!this.#sockets.has(text)) this.#open(text);
  }

  /** Tries again where it failed, as with an address that the kernel was not yet done with. */
  retry(): void {
    for (const [text, socket] of this.#sockets) if (socket === undefined) this.#open(text);
  }

  /** How many addresses are listened on, and why others aren't. */
  get state(): { readonly listening: number; readonly failures: readonly string[] } {
    const listening = [...this.#sockets.values()].filter((socket) => socket !== undefined).length;
    return { listening, failures: [...this.#failures].map(([address, reason]) => `${address}: ${reason}`) };
  }

  /** Replies that were not sent because those before them were still waiting, since the start. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Resolves when every socket that was opened listens or has failed. */
  async settled(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => this.#settled.push(resolve));
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket?.close();
    this.#sockets.clear();
  }

  #open(text: string): void {
    const ipv4 = isIPv4(text);
    const family = ipv4 ? 4 : 6;
    const socket = createSocket({
      type: ipv4 ? 'udp4' : 'udp6',
      ipv6Only: !ipv4,
      recvBufferSize: RECEIVE_BUFFER_BYTES,
      sendBufferSize: SEND_BUFFER_BYTES,
      // Every address is a literal: there is nothing to look up.
      lookup: (host, _options, callback) => callback(null, host, family),
    });
    this.#sockets.set(text, socket);
    this.#pending += 1;
    let isPending = true;
    const done = (): void => {
      if (!isPending) return;
      isPending = false;
      this.#pending -= 1;
      if (this.#pending > 0) return;
      for (const resolve of this.#settled.splice(0)) resolve();
    };
    socket.once('listening', () => {
      socket.setTTL(HOP_LIMIT);
      if (this.#failures.delete(text)) this.#options.log.info({ address: text }, 'listening again');
      done();
    });
    socket.once('close', done);
    socket.on('error', (error) => {
      this.#failed(text, socket, error);
      done();
    });
    socket.on('message', (datagram, { address, port }) => {
      // Port 0 is nobody's: there is no way back.
      if (port === 0) return;
      this.#options.received(datagram, {
        source: sourceBytes(address, ipv4),
        reply: (reply) => {
          if (this.#sockets.get(text) !== socket) return;
          // Where the network takes less than comes, each reply would wait longer than the one before, for who no longer waits for it.
          if (socket.getSendQueueCount() >= SEND_QUEUE_MAX) this.#unsent += 1;
          else socket.send(reply, port, address, () => undefined);
        },
      });
    });
    socket.bind({ port: this.#options.port, address: this.#scoped(text), exclusive: true });
  }

  #scoped(text: string): string {
    if (!/^fe[89ab]/i.test(text)) return text;
    const zone = this.#options.zoneOf(addressBytes(text));
    return zone === undefined ? text : `${text}%${zone}`;
  }

  #failed(text: string, socket: Socket, error: NodeJS.ErrnoException): void {
    if (this.#sockets.get(text) !== socket) return;
    this.#sockets.set(text, undefined);
    socket.close();
    const reason = error.code ?? error.message;
    if (this.#failures.get(text) === reason) return;
    this.#failures.set(text, reason);
    const { port } = this.#options;
    this.#options.log.error({ address: text, port, reason }, 'can not listen here: it is tried again every second');
  }
}

/** @param text as node:dgram gives it: IPv6 may name a zone */
function sourceBytes(text: string, ipv4: boolean): Uint8Array {
  if (!ipv4) return addressBytes(text.replace(/%.*$/, ''));
  const bytes = new Uint8Array(16);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  let at = 12;
  let part = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      bytes[at++] = part;
      part = 0;
    } else part = part * 10 + code - 0x30;
  }
  bytes[at] = part;
  return bytes;
}
