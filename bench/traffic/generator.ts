/**
 * The load generator: frames go out of one end of a pair from a BPF program in live-frame mode, and what comes back is counted, and
 * sampled for being right, by another. May be imported by bench only.
 */
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { attachXdp, BpfObject, possibleCpus } from '../../src/gateway/kernel/libbpf.ts';
import { interfaceIndex, SharedMemory } from '../../src/gateway/kernel/libc.ts';
import type { FrameSet } from './frames.ts';
import type { LiveOrder, LiveTimes } from './live-sender.ts';
import type { BenchNetwork, Pair } from './network.ts';

export const TRAFFIC_OBJECT = fileURLToPath(new URL('../../build/traffic.bpf.o', import.meta.url));

/** As in traffic.bpf.c. */
const SMALL_BYTES = 128;
const LARGE_BYTES = 1152;
const KIND_WORDS = 6;
const KIND = { first: 0, templates: 1, next: 2, rate: 3, vary: 4, sent: 5 } as const;
const STATE_WORDS = 2 * KIND_WORDS + 10;
const STATE = { window: 12, withhold: 13, cpus: 14, idle: 15, lost: 16 } as const;
const CPUS_MAX = 64;
const COUNT_WORDS = 8;
const SAMPLES = 512;
const SAMPLE_BYTES = 8 + LARGE_BYTES;
export const VARY = { nothing: 0, nonce: 1, keyId: 2 } as const;

export interface Flow {
  readonly set: FrameSet;
  /** Packets a second; 0 = as many as go. */
  readonly rate?: number;
  /** Of `VARY`. */
  readonly vary?: number;
}

export interface RunOrder {
  /** At most two, all of one frame length; the first goes before the second where both are due. */
  readonly flows: readonly Flow[];
  readonly milliseconds: number;
  /** So many runs of the program instead of so many milliseconds; where no packet is due one sends nothing. */
  readonly runs?: number;
  /** At most so many packets are unanswered at any time; 0 = no such bound. */
  readonly window?: number;
  /** Frames are made and not sent: what the sender alone costs. */
  readonly withhold?: boolean;
  /** Processes whose time is counted. */
  readonly servers?: readonly number[];
}

export interface Run extends LiveTimes {
  /** Packets, by flow. */
  readonly sent: readonly number[];
  /** Replies of the gateway's protocol. */
  readonly replies: number;
  /** All datagrams that came back. */
  readonly answers: number;
  /** Taken for lost, where there is a window. */
  readonly lost: number;
  /** Runs of the program in which no packet was due. */
  readonly idle: number;
  readonly sampled: number;
  /** What was wrong with samples, the first of it. */
  readonly wrong: { readonly count: number; readonly first: string | undefined };
}

/** So long may answers take that are on their way when the last packet has been sent. */
const LAST_ANSWERS_MS = 250;

export class Generator {
  readonly #object = new BpfObject(TRAFFIC_OBJECT);
  readonly #worker: Worker;
  readonly #network: BenchNetwork;
  readonly #pair: Pair;
  #link: number | undefined;
  readonly #small: SharedMemory;
  readonly #large: SharedMemory;
  readonly #state: SharedMemory;
  readonly #counts: SharedMemory;
  readonly #samples: SharedMemory;
  readonly #room: { readonly small: number; readonly large: number };
  #loaded: readonly FrameSet[] = [];
  #stopped = false;

  /**
   * @param cpu where it sends; answers are counted where they come in
   * @param room for how many frames of up to 128 bytes, and longer ones
   */
  constructor(network: BenchNetwork, pair: Pair, cpu: number, room: { small: number; large: number }) {
    this.#room = room;
    this.#object.setMaxEntries('small_frames', room.small);
    this.#object.setMaxEntries('large_frames', Math.max(1, room.large));
    this.#object.load('count');
    const map = (name: string, bytes: number) => new SharedMemory(this.#object.mapFd(name), bytes);
    this.#small = map('small_frames', room.small * SMALL_BYTES);
    this.#large = map('large_frames', Math.max(1, room.large) * LARGE_BYTES);
    this.#state = map('state', STATE_WORDS * 8);
    this.#counts = map('counts', CPUS_MAX * COUNT_WORDS * 8);
    this.#samples = map('samples', SAMPLES * SAMPLE_BYTES);
    this.#network = network;
    this.#pair = pair;
    this.listen();
    this.#worker = new Worker(new URL('live-sender.ts', import.meta.url), {
      workerData: { cpu, namespace: network.clientNamespace, interfaceName: pair.client },
    });
  }

  /** A program to put in the gateway's place. */
  program(name: 'echo' | 'drop'): number {
    return this.#object.programFd(name);
  }

  /** Takes every datagram that comes back, from now on. */
  listen(): void {
    const attach = () => attachXdp(this.#object.programFd('count'), interfaceIndex(this.#pair.client), 'native');
    this.#link ??= this.#network.onClient(attach);
  }

  /** Leaves what comes back to the host's sockets, so that other clients can ask. */
  deafen(): void {
    if (this.#link !== undefined) fs.closeSync(this.#link);
    this.#link = undefined;
  }

  async run(order: RunOrder): Promise<Run> {
    const frameBytes = this.#load(order.flows);
    const state = this.#begin(order);
    const live: LiveOrder = {
      program: this.#object.programFd(frameBytes === SMALL_BYTES ? 'generate_small' : 'generate_large'),
      frameBytes,
      milliseconds: order.milliseconds,
      runs: order.runs ?? 0,
      servers: order.servers ?? [],
    };
    const times = await this.#send(live);
    const sent = order.flows.map((_, i) => Number(state[i * KIND_WORDS + KIND.sent]));
    await this.#lastAnswers(sent.reduce((sum, packets) => sum + packets, 0));
    const { replies, others } = this.#answers();
    return {
      ...times,
      sent,
      replies,
      answers: replies + others,
      lost: Number(state[STATE.lost]),
      idle: Number(state[STATE.idle]),
      ...this.#judge(order.flows.map(({ set }) => set)),
    };
  }

  /** Copies the frames to where the program takes them from, unless they are there. @returns a frame's length */
  #load(flows: readonly Flow[]): number {
    const sets = flows.map(({ set }) => set);
    const frameBytes = sets[0]?.frameBytes ?? SMALL_BYTES;
    const frames = sets.reduce((sum, { count }) => sum + count, 0);
    const large = frameBytes > SMALL_BYTES;
    const room = large ? this.#room.large : this.#room.small;
    if (frames > room || sets.some((set) => set.frameBytes !== frameBytes))
      throw new RangeError(`found ${frames} frames, allowed: ${room}, all of one length`);
    if (sets.length === this.#loaded.length && sets.every((set, i) => set === this.#loaded[i])) return frameBytes;
    const memory = new Uint8Array((large ? this.#large : this.#small).buffer);
    const stride = large ? LARGE_BYTES : SMALL_BYTES;
    let at = 0;
    for (const { bytes, count } of sets) {
      if (!large) memory.set(bytes, at);
      else
        for (let i = 0; i < count; i++)
          memory.set(bytes.subarray(i * frameBytes, (i + 1) * frameBytes), at + i * stride);
      at += count * stride;
    }
    this.#loaded = sets;
    return frameBytes;
  }

  #begin({ flows, window = 0, withhold = false }: RunOrder): BigUint64Array {
    const state = new BigUint64Array(this.#state.buffer);
    state.fill(0n);
    let first = 0;
    for (const [i, { set, rate = 0, vary = VARY.nothing }] of flows.entries()) {
      const at = i * KIND_WORDS;
      state[at + KIND.first] = BigInt(first);
      state[at + KIND.templates] = BigInt(set.count);
      state[at + KIND.rate] = BigInt(rate);
      state[at + KIND.vary] = BigInt(vary);
      first += set.count;
    }
    state[STATE.window] = BigInt(window);
    state[STATE.withhold] = withhold ? 1n : 0n;
    state[STATE.cpus] = BigInt(Math.min(possibleCpus(), CPUS_MAX));
    new BigUint64Array(this.#counts.buffer).fill(0n);
    new Uint8Array(this.#samples.buffer).fill(0);
    return state;
  }

  #send(order: LiveOrder): Promise<LiveTimes> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => reject(error);
      this.#worker.once('error', failed);
      this.#worker.once('message', (times: LiveTimes) => {
        this.#worker.off('error', failed);
        resolve(times);
      });
      this.#worker.postMessage(order);
    });
  }

  #answers(): { replies: number; others: number } {
    const counts = new BigUint64Array(this.#counts.buffer);
    let [replies, others] = [0, 0];
    for (let at = 0; at < counts.length; at += COUNT_WORDS) {
      replies += Number(counts[at]);
      others += Number(counts[at + 1]);
    }
    return { replies, others };
  }

  async #lastAnswers(sent: number): Promise<void> {
    const endMs = performance.now() + LAST_ANSWERS_MS;
    for (;;) {
      const { replies, others } = this.#answers();
      if (replies + others >= sent || performance.now() > endMs) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Each sample has to be right by one of the flows that go. */
  #judge(sets: readonly FrameSet[]): Pick<Run, 'sampled' | 'wrong'> {
    const memory = new DataView(this.#samples.buffer);
    let sampled = 0;
    const problems: string[] = [];
    for (let i = 0; i < SAMPLES; i++) {
      const length = Number(memory.getBigUint64(i * SAMPLE_BYTES, true));
      if (length === 0) continue;
      sampled++;
      const frame = new Uint8Array(memory.buffer.slice(i * SAMPLE_BYTES + 8, i * SAMPLE_BYTES + 8 + length));
      const found = sets.map((set) => set.problemOf(frame));
      if (!found.includes(undefined)) problems.push(found.at(-1) ?? '');
    }
    return { sampled, wrong: { count: problems.length, first: problems[0] } };
  }

  async close(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.#worker.terminate();
    this.deafen();
    for (const memory of [this.#small, this.#large, this.#state, this.#counts, this.#samples]) memory.close();
    this.#object.close();
  }
}
