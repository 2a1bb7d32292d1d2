/** A service manager's end of NOTIFY_SOCKET: a Unix datagram socket, which Node.js itself has none of. */
import { closeSync, unlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';

const lib = koffi.load('libc.so.6');
const socket = lib.func('int socket(int domain, int type, int protocol)');
const bind = lib.func('int bind(int socket, void *address, uint32_t size)');
const recv = lib.func('long recv(int socket, void *bytes, size_t size, int flags)');

const WAIT_MS = 60_000;

export class NotifyListener {
  /** Every message so far, in order. */
  readonly messages: string[] = [];
  readonly #name: string;
  readonly #descriptor: number;

  /** @param name a path, or an abstract name that begins with "@" */
  constructor(name: string) {
    this.#name = name;
    this.#descriptor = socket(1, 2, 0) as number;
    const path = Buffer.from(name.replace(/^@/, '\0'));
    const address = Buffer.concat([Buffer.from([1, 0]), path]);
    if ((bind(this.#descriptor, address, address.length) as number) !== 0) throw new Error(`can not bind ${name}`);
  }

  /** Waits until a message, from the `from`th on, is as wanted. @returns the number of the one after it */
  async until(wanted: RegExp, from = 0): Promise<number> {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      this.#receive();
      const found = this.messages.findIndex((message, i) => i >= from && wanted.test(message));
      if (found >= 0) return found + 1;
      if (performance.now() > endMs)
        throw new Error(`waited in vain for ${wanted} in ${JSON.stringify(this.messages)}`);
      await sleep(20);
    }
  }

  #receive(): void {
    const MSG_DONTWAIT = 0x40;
    const bytes = Buffer.alloc(4096);
    for (let i = 0; i < 1000; i++) {
      const size = Number(recv(this.#descriptor, bytes, bytes.length, MSG_DONTWAIT));
      if (size < 0) return;
      this.messages.push(bytes.toString('utf8', 0, size));
    }
  }

  close(): void {
    closeSync(this.#descriptor);
    if (!this.#name.startsWith('@')) unlinkSync(this.#name);
  }
}
