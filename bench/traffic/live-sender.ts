/**
 * The thread that sends: runs a generator's program in live-frame mode on one CPU, again and again, until the time is over. The call returns
 * only when all its frames are sent, so this is a worker of its own. May be imported by generator.ts alone.
 */
import { parentPort, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { BpfError } from '../../src/gateway/kernel/libbpf.ts';
import { interfaceIndex } from '../../src/gateway/kernel/libc.ts';
import { enterNamespace } from './network.ts';
import { ownNs, pinTo, processNs, softInterruptThreads } from './processor.ts';

export interface LiveOrder {
  readonly program: number;
  readonly frameBytes: number;
  /** For so long, or */
  readonly milliseconds: number;
  /** so many runs of the program, if this isn't 0. */
  readonly runs: number;
  /** Processes whose time is counted. */
  readonly servers: readonly number[];
}

export interface LiveTimes {
  readonly elapsedNs: number;
  /** Of the sending thread, with what the network's soft interrupts took in its course and in ksoftirqd. */
  readonly senderNs: number;
  /** Of the servers. */
  readonly serversNs: number;
}

export interface LiveSenderPlace {
  readonly cpu: number;
  readonly namespace: string;
  readonly interfaceName: string;
}

/** struct bpf_test_run_opts */
const OPTS = { size: 80, dataIn: 8, dataSizeIn: 24, ctxIn: 32, ctxSizeIn: 48, repeat: 60, flags: 68 } as const;
const LIVE_FRAMES = 2;
/** struct xdp_md */
const CONTEXT = { size: 24, dataEnd: 4, ingressInterface: 12 } as const;
const FIRST_RUNS = 20_000;
const RUNS_MAX = 100_000_000;
/** How long one call should take: its set-up takes about 0.2 ms. */
const CALL_MS = 40;

const testRun = koffi.load('libbpf.so.1').func('int bpf_prog_test_run_opts(int program, void *opts)');

function runLive(program: number, interfaceIndexOfSender: number, frameBytes: number, runs: number): void {
  const frame = new ArrayBuffer(frameBytes);
  const context = new DataView(new ArrayBuffer(CONTEXT.size));
  context.setUint32(CONTEXT.dataEnd, frameBytes, true);
  context.setUint32(CONTEXT.ingressInterface, interfaceIndexOfSender, true);
  const opts = new DataView(new ArrayBuffer(OPTS.size));
  opts.setBigUint64(0, BigInt(OPTS.size), true);
  opts.setBigUint64(OPTS.dataIn, koffi.address(frame), true);
  opts.setUint32(OPTS.dataSizeIn, frameBytes, true);
  opts.setBigUint64(OPTS.ctxIn, koffi.address(context.buffer), true);
  opts.setUint32(OPTS.ctxSizeIn, CONTEXT.size, true);
  opts.setInt32(OPTS.repeat, runs, true);
  opts.setUint32(OPTS.flags, LIVE_FRAMES, true);
  const result = testRun(program, opts.buffer) as number;
  if (result < 0) throw new BpfError('send live frames (kernel 5.18 or newer)', -result);
}

function carryOut(order: LiveOrder, index: number, softInterrupts: readonly number[]): LiveTimes {
  const sender = (): number => ownNs() + softInterrupts.reduce((sum, pid) => sum + processNs(pid), 0);
  const servers = (): number => order.servers.reduce((sum, pid) => sum + processNs(pid), 0);
  const [beganNs, senderNs, serversNs] = [process.hrtime.bigint(), sender(), servers()];
  const elapsedNs = (): number => Number(process.hrtime.bigint() - beganNs);
  let runs = order.runs || FIRST_RUNS;
  do {
    const beforeNs = elapsedNs();
    runLive(order.program, index, order.frameBytes, runs);
    const tookMs = Math.max((elapsedNs() - beforeNs) / 1e6, 0.01);
    runs = Math.min(Math.ceil((runs * CALL_MS) / tookMs), RUNS_MAX);
  } while (order.runs === 0 && elapsedNs() < order.milliseconds * 1e6);
  return { elapsedNs: elapsedNs(), senderNs: sender() - senderNs, serversNs: servers() - serversNs };
}

if (parentPort !== null) {
  const port = parentPort;
  const { cpu, namespace, interfaceName } = workerData as LiveSenderPlace;
  enterNamespace(namespace);
  pinTo(cpu);
  const index = interfaceIndex(interfaceName);
  const softInterrupts = softInterruptThreads([cpu]);
  port.on('message', (order: LiveOrder) => port.postMessage(carryOut(order, index, softInterrupts)));
}
