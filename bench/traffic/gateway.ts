/**
 * The gateway as the benchmarks run it: the real program and maps, filled by the daemon's own table writer, without Redis and
 * without a daemon. May be imported by bench only.
 */
import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Datapath, detachAll } from '../../src/gateway/kernel/datapath.ts';
import { attachXdp, openPin, runOnPacket, type XdpMode } from '../../src/gateway/kernel/libbpf.ts';
import { interfaceIndex } from '../../src/gateway/kernel/libc.ts';
import { TIMED_ONE_IN } from '../../src/gateway/kernel/settings.ts';
import { kernelKey } from '../../src/gateway/kernel-keys.ts';
import type { FrameSet } from './frames.ts';
import { type BenchKey, backendOf, backends, PORT, RECORD_VERSION, sessionHex } from './world.ts';

const OBJECT = fileURLToPath(new URL('../../build/gateway.bpf.o', import.meta.url));
/** Requests are signed once and used for the whole benchmark. */
export const SKEW_MS = 6 * 3_600_000;
/** Requests outside it that are answered, a second and CPU. */
export const SKEW_BUDGET = 1_000;
const FLUSH_EVERY = 4_000;
const XDP_TX = 3;

export interface GatewayOrder {
  /** Tells its pins from others'. */
  readonly name: string;
  readonly sessions: number;
  readonly backends: number;
  readonly keys: readonly BenchKey[];
  readonly addresses: readonly Uint8Array[];
  /** Another build of the program, of the same layout. */
  readonly object?: string | undefined;
}

/** Puts a program on an interface of the thread's namespace. @returns takes it off again */
export function attachProgram(program: number, interfaceName: string, mode: XdpMode = 'native'): () => void {
  const link = attachXdp(program, interfaceIndex(interfaceName), mode);
  return () => fs.closeSync(link);
}

export class BenchGateway {
  readonly datapath: Datapath;
  readonly #pins: string;

  constructor(order: GatewayOrder) {
    this.#pins = `/sys/fs/bpf/${order.name}`;
    detachAll(this.#pins);
    this.datapath = new Datapath({
      pins: this.#pins,
      capacity: Math.ceil(order.sessions * 1.1),
      object: order.object ?? OBJECT,
      attach: 'native',
      events: { generic() {}, attached() {}, kept() {}, putAside() {} },
    });
    try {
      this.#fill(order);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #fill(order: GatewayOrder): void {
    const { settings, table } = this.datapath;
    this.datapath.setClockOffset(Date.now() - Number(process.hrtime.bigint() / 1_000_000n));
    settings.port = PORT;
    settings.staleAfterMs = SKEW_MS;
    settings.maxSkewMs = SKEW_MS;
    settings.skewBudget = SKEW_BUDGET;
    settings.timedOneIn = TIMED_ONE_IN;
    this.datapath.setAddresses(order.addresses);
    for (const { key } of order.keys) this.datapath.putKey(key.id, kernelKey(key));
    table.setBackends(backends(order.backends));
    table.beginGeneration();
    for (let i = 0; i < order.sessions; i++) {
      table.put(sessionHex(i), RECORD_VERSION, 0, backendOf(i, order.backends));
      if (i % FLUSH_EVERY === 0) table.flush();
    }
    table.flush();
    table.commitGeneration();
    table.markInStep(Number(process.hrtime.bigint() / 1_000_000n));
    if (table.entries !== order.sessions) throw new Error(`${table.entries} of ${order.sessions} sessions are held`);
  }

  /** Why the program doesn't serve these: what became of the first; undefined = it does. */
  refusal(set: FrameSet): string | undefined {
    const { action, packet } = runOnPacket(this.datapath.programDescriptor, set.bytes.subarray(0, set.frameBytes));
    if (action !== XDP_TX) return 'this program does not answer it';
    const problem = set.problemOf(packet);
    return problem === undefined ? undefined : `this program does not answer it rightly (${problem})`;
  }

  /** @returns takes it off again */
  attach(interfaceName: string, mode: XdpMode = 'native'): () => void {
    return attachProgram(this.datapath.programDescriptor, interfaceName, mode);
  }

  /** Bytes of kernel memory that the sessions and the copies of their records take. */
  get sessionBytes(): number {
    const files = fs.readdirSync(this.#pins, { recursive: true, encoding: 'utf8' });
    return ['sessions', 'session_copies'].reduce((sum, name) => {
      const file = files.find((path) => basename(path) === name);
      const map = file === undefined ? undefined : openPin(join(this.#pins, file));
      if (map === undefined) throw new Error(`${this.#pins}: no ${name}`);
      const memory = /^memlock:\s+(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${map}`, 'utf8'))?.[1];
      fs.closeSync(map);
      return sum + Number(memory);
    }, 0);
  }

  close(): void {
    this.datapath.close();
    detachAll(this.#pins);
  }
}
