/**
 * Contenders that share one core with the sender and with the counting of answers: XDP programs at the other end of the pair. May be
 * imported by bench only.
 *
 * Costs are processor time, the sender's included; `own` takes out what it takes to make the frames, measured in the same turn by making them
 * without sending them. What is left is the program, both crossings of the pair, and the counting.
 */
import type { XdpMode } from '../../src/gateway/kernel/libbpf.ts';
import type { FrameSet } from '../traffic/frames.ts';
import { attachProgram, type BenchGateway, SKEW_BUDGET } from '../traffic/gateway.ts';
import type { Generator, Run } from '../traffic/generator.ts';
import type { Pair } from '../traffic/network.ts';
import type { Contender, Turn } from './measure.ts';

export interface OneCore {
  readonly generator: Generator;
  readonly pair: Pair;
  readonly milliseconds: number;
  /** Is told what part of its CPU the sender got in each run. */
  readonly share: (part: number) => void;
}

export const ECHO = 'bare echo';
export const SENDER = 'sender alone';
/** Packets of a run that nothing answers are few, so a few lost ones must not be taken for a failure. */
const LOST_PART = 0.001;

export function costOf(run: Run, set: FrameSet, share: (part: number) => void): Turn {
  const lookups = (run.sent[0] ?? 0) * set.lookups;
  share(run.senderNs / run.elapsedNs);
  return { ns: run.senderNs / lookups, perSecond: (lookups * 1e9) / run.elapsedNs };
}

/** @throws Error where answers are missing or wrong */
export function mustBeRight(run: Run, answered: number): void {
  const sent = run.sent.reduce((sum, packets) => sum + packets, 0);
  if (run.wrong.count > 0)
    throw new Error(`${run.wrong.count} of ${run.sampled} samples are wrong: ${run.wrong.first}`);
  if (answered < sent * (1 - LOST_PART)) throw new Error(`${answered} answers to ${sent} packets`);
}

export function senderAlone(core: OneCore, set: FrameSet, name = SENDER): Contender {
  return {
    name,
    async measure() {
      const run = await core.generator.run({ flows: [{ set }], milliseconds: core.milliseconds, withhold: true });
      return costOf(run, set, core.share);
    },
  };
}

/** The frames come back as they went, or not at all. */
export function bare(core: OneCore, program: 'echo' | 'drop', set: FrameSet, name: string): Contender {
  const returned: FrameSet = {
    ...set,
    problemOf: (frame) => (isEcho(frame, set) ? undefined : 'not the frame that was sent'),
  };
  return {
    name,
    async measure() {
      const detach = attachProgram(core.generator.program(program), core.pair.server);
      try {
        const run = await core.generator.run({ flows: [{ set: returned }], milliseconds: core.milliseconds });
        mustBeRight(run, program === 'echo' ? run.answers : (run.sent[0] ?? 0));
        return costOf(run, set, core.share);
      } finally {
        detach();
      }
    },
  };
}

/** A request's number is in its nonce (frames.ts): the frame must be that one but for the MAC addresses. */
function isEcho(frame: Uint8Array, set: FrameSet): boolean {
  const number = new DataView(frame.buffer, frame.byteOffset).getUint32(62);
  const sent = set.bytes.subarray(number * set.frameBytes, (number + 1) * set.frameBytes);
  return Buffer.compare(sent.subarray(12), frame.subarray(12)) === 0;
}

export interface GatewayCase {
  readonly name: string;
  readonly gateway: BenchGateway;
  readonly set: FrameSet;
  readonly mode?: XdpMode;
  /** Packets that must not be answered; of `old` ones a few are, with CLOCK_SKEW. */
  readonly forged?: 'never' | 'old' | undefined;
  /** Of `VARY`. */
  readonly vary?: number;
}

export function gatewayCase(
  core: OneCore,
  { name, gateway, set, mode = 'native', forged, vary = 0 }: GatewayCase,
): Contender {
  return {
    name,
    async measure() {
      const detach = gateway.attach(core.pair.server, mode);
      try {
        const run = await core.generator.run({ flows: [{ set, vary }], milliseconds: core.milliseconds });
        if (forged === undefined) mustBeRight(run, run.replies);
        else if (run.answers > (forged === 'old' ? SKEW_BUDGET * (2 + run.elapsedNs / 1e9) : 0))
          throw new Error(`${run.answers} packets were answered that should not be`);
        return costOf(run, set, core.share);
      } finally {
        detach();
      }
    },
  };
}
