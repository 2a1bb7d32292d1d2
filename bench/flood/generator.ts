/**
 * Sends frames out of an interface as fast as one CPU can, or at a rate: the BPF program `generate`, run in live-frame
 * mode. A process of its own, since the call returns only when all are sent, and is bound to a CPU. Reads an Order
 * from standard input and prints a Sent, both JSON.
 */
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { BpfError, BpfObject, mapLookup, mapUpdate } from '../../src/gateway/kernel/libbpf.ts';
import { interfaceIndex } from '../../src/gateway/kernel/libc.ts';

export const FLOOD_OBJECT = fileURLToPath(new URL('../../build/flood.bpf.o', import.meta.url));
export const FRAME_BYTES = 128;
export const TEMPLATES_MAX = 1024;
const KIND_BYTES = 32;
const STATE_BYTES = 2 * KIND_BYTES + 24;

/** As in flood.bpf.c. */
export const VARY = { nothing: 0, nonce: 1, keyId: 2 } as const;

export interface Kind {
  /** Frames of FRAME_BYTES, in hex, at most TEMPLATES_MAX; sent in turn. */
  frames: string[];
  /** A second; 0 = as many as go. */
  rate: number;
  vary: number;
}

/** `kinds`: at most two. The first goes before the second where both are due. */
export interface Order {
  interfaceName: string;
  kinds: Kind[];
  /** Runs of the program; where no packet is due one sends nothing. */
  runs: number;
  /** The CPU that this process is bound to. */
  cpu: number;
}

export interface Sent {
  sent: number[];
  /** Of the whole call, from the first packet to the last. */
  elapsedNs: number;
  /** Processor time of the call, what the network's soft interrupts took in its course included. */
  cpuNs: number;
}

/** struct bpf_test_run_opts */
const OPTS = { size: 80, dataIn: 8, dataSizeIn: 24, ctxIn: 32, ctxSizeIn: 48, repeat: 60, flags: 68 } as const;
const LIVE_FRAMES = 2;
/** struct xdp_md */
const CONTEXT = { size: 24, dataEnd: 4, ingressInterface: 12 } as const;

const lib = koffi.load('libbpf.so.1');
const testRun = lib.func('int bpf_prog_test_run_opts(int program, void *opts)');

function runLive(programFd: number, interfaceName: string, runs: number): void {
  const frame = new ArrayBuffer(FRAME_BYTES);
  const context = new DataView(new ArrayBuffer(CONTEXT.size));
  context.setUint32(CONTEXT.dataEnd, FRAME_BYTES, true);
  context.setUint32(CONTEXT.ingressInterface, interfaceIndex(interfaceName), true);
  const opts = new DataView(new ArrayBuffer(OPTS.size));
  opts.setBigUint64(0, BigInt(OPTS.size), true);
  opts.setBigUint64(OPTS.dataIn, koffi.address(frame), true);
  opts.setUint32(OPTS.dataSizeIn, FRAME_BYTES, true);
  opts.setBigUint64(OPTS.ctxIn, koffi.address(context.buffer), true);
  opts.setUint32(OPTS.ctxSizeIn, CONTEXT.size, true);
  opts.setInt32(OPTS.repeat, runs, true);
  opts.setUint32(OPTS.flags, LIVE_FRAMES, true);
  const result = testRun(programFd, opts.buffer) as number;
  if (result < 0) throw new BpfError('send live frames (kernel 5.18 or newer)', -result);
}

/**
 * Where packets are handled by the soft interrupts of the CPU that sends them: in the sender's own time, or, when they
 * take long, in that of the CPU's kernel thread (kernels without IRQ_TIME_ACCOUNTING, as Debian's).
 */
function cpuClock(cpu: number): () => number {
  const thread = fs
    .readdirSync('/proc')
    .find((id) => /^\d+$/.test(id) && readOr('', `/proc/${id}/comm`).trim() === `ksoftirqd/${cpu}`);
  const spentNs = (task: string): number => Number(readOr('0', `/proc/${task}/schedstat`).split(' ')[0]);
  return () => spentNs('thread-self') + (thread === undefined ? 0 : spentNs(thread));
}

/** Processes end while they are listed. */
function readOr(otherwise: string, path: string): string {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function send(order: Order): Sent {
  const object = new BpfObject(FLOOD_OBJECT);
  object.load('generate');
  const [frames, stateFd] = [object.mapFd('frames'), object.mapFd('state')];
  const state = new BigUint64Array(STATE_BYTES / 8);
  for (const [i, kind] of order.kinds.entries()) {
    state.set([BigInt(kind.frames.length), BigInt(kind.rate), BigInt(kind.vary)], (i * KIND_BYTES) / 8);
    for (const [j, frame] of kind.frames.entries())
      mapUpdate(frames, word(i * TEMPLATES_MAX + j), Buffer.from(frame, 'hex'));
  }
  mapUpdate(stateFd, word(0), new Uint8Array(state.buffer));
  const clock = cpuClock(order.cpu);
  const [beganNs, beganCpuNs] = [process.hrtime.bigint(), clock()];
  runLive(object.programFd('generate'), order.interfaceName, order.runs);
  const [elapsedNs, cpuNs] = [Number(process.hrtime.bigint() - beganNs), clock() - beganCpuNs];
  mapLookup(stateFd, word(0), new Uint8Array(state.buffer));
  object.close();
  return { sent: order.kinds.map((_, i) => Number(state[(i * KIND_BYTES) / 8 + 3])), elapsedNs, cpuNs };
}

if (import.meta.main) console.log(JSON.stringify(send(JSON.parse(fs.readFileSync(0, 'utf8')))));
