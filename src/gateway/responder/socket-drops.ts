/**
 * How many datagrams the kernel dropped because a socket was full: no socket tells, but /proc/net/udp and udp6 do, of each socket in this network
 * namespace (Documentation/networking/proc_net_tcp.rst of Linux, for the columns). May be imported by src/gateway only.
 */
import { readFileSync } from 'node:fs';

const TABLES = ['/proc/net/udp', '/proc/net/udp6'] as const;
/** A table has all sockets of the machine. */
const LOOK_EVERY_MS = 1_000;
/** From one look to the one after the next. */
const RECENT_MS = 2 * LOOK_EVERY_MS + 500;

export class SocketDrops {
  readonly #line: RegExp;
  readonly #read: (table: string) => string;
  #count = 0;
  #last = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #droppedMs = Number.NEGATIVE_INFINITY;

  /** @param port that the sockets listen on */
  constructor(port: number, read = (table: string) => readFileSync(table, 'latin1')) {
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    this.#line = new RegExp(`^ *\\d+: [0-9A-F]+:${hex} .* (\\d+) *$`, 'gm');
    this.#read = read;
  }

  /** Datagrams dropped since the start, a second ago. @param nowMs monotonic, here and below */
  count(nowMs: number): number {
    this.#look(nowMs);
    return this.#count;
  }

  /** Whether there were any of late: what is sent here may get no answer. */
  isDropping(nowMs: number): boolean {
    this.#look(nowMs);
    return nowMs - this.#droppedMs < RECENT_MS;
  }

  #look(nowMs: number): void {
    if (nowMs - this.#lookedMs < LOOK_EVERY_MS) return;
    this.#lookedMs = nowMs;
    const sum = this.#sum();
    // A socket that was closed takes its count with it.
    if (sum > this.#last) {
      this.#count += sum - this.#last;
      this.#droppedMs = nowMs;
    }
    this.#last = sum;
  }

  #sum(): number {
    let sum = 0;
    for (const table of TABLES) {
      let text: string;
      try {
        text = this.#read(table);
      } catch {
        // A kernel without IPv6, or a sandbox that hides it.
        continue;
      }
      for (const [, drops] of text.matchAll(this.#line)) sum += Number(drops);
    }
    return sum;
  }
}
