/**
 * What it costs to time packets, and to be watched by `gateway trace`: the program run on one frame at a time
 * (BPF_PROG_RUN), its settings in turns. `npm run bench -- watching [--turns N]`.
 */
import { integer, programOptions } from '../../scripts/program-options.ts';
import type { Datapath } from '../../src/gateway/kernel/datapath.ts';
import { runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import { TIMED_ONE_IN } from '../../src/gateway/kernel/settings.ts';
import type { TraceFilter } from '../../src/gateway/ports.ts';
import { VERDICT_NAMES } from '../../src/gateway/verdict-names.ts';
import { BpfLab } from '../../test/bpf/lab.ts';
import { describeMachine, machineText } from '../compare/machine.ts';
import { median } from '../compare/measure.ts';

const values = programOptions('npm run bench -- watching', 'What it costs to time packets, and to be watched.', {
  turns: { type: 'string', default: '21', value: 'N', about: 'turns of each setting' },
});
const TURNS = integer('turns', values.turns, 1, 1_000);

/** A reply is written over its request: such a frame is run once, and again from the beginning. */
const SINGLE_RUNS = 2_000;
const REPEATED_RUNS = 100_000;
const FOREVER_MS = 3_600_000;
const EVERYTHING: TraceFilter = { verdicts: VERDICT_NAMES, keyId: null, source: null, oneIn: 1 };

interface Way {
  readonly name: string;
  readonly timedOneIn: number;
  readonly filter: TraceFilter | undefined;
}

const WAYS: readonly Way[] = [
  { name: 'nothing is timed', timedOneIn: 0, filter: undefined },
  { name: `one in ${TIMED_ONE_IN} is timed (as it is)`, timedOneIn: TIMED_ONE_IN, filter: undefined },
  { name: 'every packet is timed', timedOneIn: 1, filter: undefined },
  { name: 'watched, one in 1,000', timedOneIn: TIMED_ONE_IN, filter: { ...EVERYTHING, oneIn: 1_000 } },
  { name: 'watched, another key', timedOneIn: TIMED_ONE_IN, filter: { ...EVERYTHING, keyId: 99 } },
  { name: 'watched, all', timedOneIn: TIMED_ONE_IN, filter: EVERYTHING },
];

function set({ settings, trace }: Datapath, { timedOneIn, filter }: Way): void {
  settings.timedOneIn = timedOneIn;
  if (filter === undefined) trace.end();
  else {
    trace.setFilter(filter);
    trace.showUntil(Number(process.hrtime.bigint()) / 1e6 + FOREVER_MS);
  }
}

const lab = new BpfLab();
try {
  const key = lab.newKey(1);
  lab.settings.maxSkewMs = FOREVER_MS;
  lab.applySettings();
  const lookup = lab.frame(lab.request(key, 'nobody'));
  const forged = lookup.slice();
  forged[forged.length - 20] = (forged[forged.length - 20] ?? 0) ^ 1; // in the guard
  const hosts = lab.frame(lab.request(key, 'nobody'), { destinationPort: 53 });
  const program = lab.datapath.programDescriptor;
  const frames: [string, () => number][] = [
    ["the host's", () => runOnPacket(program, hosts, REPEATED_RUNS).durationNs],
    ['forged, by the guard', () => runOnPacket(program, forged, REPEATED_RUNS).durationNs],
    ['lookup', () => median(Array.from({ length: SINGLE_RUNS }, () => runOnPacket(program, lookup).durationNs))],
  ];
  const taken = WAYS.map(() => frames.map((): number[] => []));
  for (let turn = 0; turn < TURNS; turn++) {
    for (let i = 0; i < WAYS.length; i++) {
      // Who goes first changes from turn to turn.
      const at = (i + turn) % WAYS.length;
      set(lab.datapath, WAYS[at] as Way);
      for (const [f, [, measure]] of frames.entries()) {
        taken[at]?.[f]?.push(measure());
        lab.datapath.trace.read(() => undefined);
      }
    }
  }
  console.log(
    `On ${machineText(describeMachine())}; medians of ${TURNS} turns. In brackets: beside nothing timed, the median over the turns.`,
  );
  console.log(
    'A lookup is run alone, so its ns have the cost of a call in them, and its ratio is a little too near 1.\n',
  );
  console.log(
    `| ns a packet | ${frames.map(([name]) => name).join(' | ')} |\n|---|${frames.map(() => '---').join('|')}|`,
  );
  for (const [w, { name }] of WAYS.entries()) {
    const cells = frames.map((_, f) => {
      const own = taken[w]?.[f] ?? [];
      const ratios = own.map((ns, turn) => ns / (taken[0]?.[f]?.[turn] ?? Number.NaN));
      return `${Math.round(median(own))} (${median(ratios).toFixed(2)})`;
    });
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  }
} finally {
  lab.close();
}
