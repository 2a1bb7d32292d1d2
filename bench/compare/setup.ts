/**
 * What the sections of the comparison share: where it runs, how large it is, and whom it tells. May be imported by bench only.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from '../traffic/frames.ts';
import { BenchGateway, type GatewayOrder } from '../traffic/gateway.ts';
import { Generator } from '../traffic/generator.ts';
import { BenchNetwork, type Pair } from '../traffic/network.ts';
import { benchKey, PORT } from '../traffic/world.ts';
import type { OneCore } from './one-core.ts';

export interface Size {
  readonly turns: number;
  /** Of a turn of an XDP program. */
  readonly milliseconds: number;
  /** Of a turn of a server or a client. */
  readonly serverMilliseconds: number;
  /** Frames of a LOOKUP, and of a BATCH: what they ask for should not fit the processor's caches where the table doesn't. */
  readonly frames: number;
  readonly batchFrames: number;
  /** Frames where tables of different sizes are compared. */
  readonly manyFrames: number;
  readonly sessions: number;
  readonly tables: readonly number[];
  readonly keys: readonly number[];
  readonly backends: readonly number[];
  /** Questions a second of the closed-loop client; 0 = as many as go. */
  readonly rates: readonly number[];
}

export const FULL: Size = {
  turns: 7,
  milliseconds: 300,
  serverMilliseconds: 700,
  frames: 100_003,
  batchFrames: 20_011,
  manyFrames: 500_009,
  sessions: 100_000,
  tables: [1_000, 100_000, 1_000_000, 10_000_000],
  keys: [1, 16, 256],
  backends: [1, 100, 10_000, 65_535],
  rates: [1_000, 10_000, 50_000, 0],
};

export const QUICK: Size = {
  turns: 5,
  milliseconds: 15,
  serverMilliseconds: 80,
  frames: 5_003,
  batchFrames: 503,
  manyFrames: 20_011,
  sessions: 20_000,
  tables: [1_000, 100_000],
  keys: [1, 256],
  backends: [1, 10_000],
  rates: [10_000, 0],
};

export const BACKENDS = 100;

export class Setup {
  readonly size: Size;
  readonly network: BenchNetwork;
  readonly generator: Generator;
  /** Where frames are sent, and clients run. */
  readonly senderCpu: number;
  /** Where servers in user space run. */
  readonly serverCpu: number;
  readonly folder = mkdtempSync(join(tmpdir(), 'bench-'));
  readonly #name = `bn${process.pid}`;
  #gateways: BenchGateway[] = [];
  #made = 0;
  #leastShare = 1;

  constructor(size: Size, cpus: readonly [number, number]) {
    this.size = size;
    [this.senderCpu, this.serverCpu] = cpus;
    this.network = new BenchNetwork(this.#name, 2);
    const room = { small: Math.max(size.manyFrames, size.frames), large: size.batchFrames };
    try {
      this.generator = new Generator(this.network, this.pair, this.senderCpu, room);
    } catch (error) {
      this.network.close();
      throw error;
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => this.#interrupt());
  }

  /** Leaves nothing behind. */
  #interrupt(): never {
    this.releaseGateways();
    this.network.close();
    rmSync(this.folder, { recursive: true });
    process.exit(1);
  }

  get pair(): Pair {
    return this.network.pairs[0] as Pair;
  }

  get target(): Target {
    return { address: this.pair.serverAddress, port: PORT };
  }

  /** hmac-sha256 and blake2s, then the same with replies that are encrypted. */
  readonly keys = [
    benchKey(1, 'hmac-sha256'),
    benchKey(2, 'blake2s'),
    benchKey(3, 'hmac-sha256', true),
    benchKey(4, 'blake2s', true),
  ] as const;

  get core(): OneCore {
    const { generator, pair, size } = this;
    return { generator, pair, milliseconds: size.milliseconds, share: (part) => this.noteShare(part) };
  }

  /** What part of its CPU a sender got. */
  noteShare(part: number): void {
    this.#leastShare = Math.min(this.#leastShare, part);
  }

  get leastShare(): number {
    return this.#leastShare;
  }

  /** Closed with all the others by `releaseGateways`. */
  gateway(order: Partial<GatewayOrder> = {}): BenchGateway {
    const gateway = new BenchGateway({
      name: `${this.#name}-${this.#made++}`,
      sessions: this.size.sessions,
      backends: BACKENDS,
      keys: this.keys,
      addresses: this.network.pairs.map(({ serverAddress }) => serverAddress),
      ...order,
    });
    this.#gateways.push(gateway);
    return gateway;
  }

  releaseGateways(): void {
    for (const gateway of this.#gateways) gateway.close();
    this.#gateways = [];
  }

  say(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  async close(): Promise<void> {
    this.releaseGateways();
    await this.generator.close();
    this.network.close();
    rmSync(this.folder, { recursive: true });
  }
}
