/**
 * What each primitive costs in the kernel, by BPF_PROG_TEST_RUN, beside a bare echo: `npm run bench:micro`. All are run in
 * turns, so that whatever else the machine does meets all of them alike; the medians of the turns are compared.
 *
 *     npm run bench:micro -- [--turns N] [--runs N] [--only PROGRAM,…] [--object FILE] [--against FILE] [--json]
 *
 * With --against the programs of another build of the same object take turns with these, which shows what a change gives.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { integer, programOptions, wrong } from '../../scripts/program-options.ts';
import { BpfObject, runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import { CASES, type Case, ECHO } from './cases.ts';
import { machine, watchLoad } from './machine.ts';

const OBJECT = fileURLToPath(new URL('../../build/primitives.bpf.o', import.meta.url));
const TURNS_MAX = 100_000;
const RUNS_MAX = 1_000_000;

function chosen(only: string): readonly Case[] {
  if (only === '') return CASES;
  const names = only.split(',');
  for (const name of names) {
    if (!CASES.some(({ program }) => program === name)) {
      wrong(`--only: found "${name}", allowed: ${CASES.map(({ program }) => program).join(', ')}`);
    }
  }
  return CASES.filter(({ program }) => program === ECHO.program || names.includes(program));
}

/** One program of one object, with the mean duration of a run in each turn. */
interface Contender {
  readonly fd: number;
  readonly input: Uint8Array;
  readonly ns: number[];
}

interface Row {
  readonly subject: Case;
  readonly own: Contender;
  readonly other: Contender | undefined;
}

function open(path: string): BpfObject {
  if (!existsSync(path)) wrong(`there is no ${path}: build it with \`make -C bpf\``);
  const object = new BpfObject(path);
  object.load(ECHO.program);
  return object;
}

function contender(object: BpfObject, { program, inputBytes }: Case): Contender {
  const input = Uint8Array.from({ length: inputBytes }, (_, i) => (i * 167 + 13) & 0xff);
  return { fd: object.programFd(program), input, ns: [] };
}

function measure(rows: readonly Row[], turns: number, runs: number): void {
  for (let turn = 0; turn < turns; turn++) {
    for (const { own, other } of rows) {
      // which of two goes first changes from turn to turn
      const pair = other === undefined ? [own] : turn % 2 === 0 ? [own, other] : [other, own];
      for (const { fd, input, ns } of pair) ns.push(runOnPacket(fd, input, runs).durationNs);
    }
  }
}

interface Summary {
  /** Median of the turns. */
  ns: number;
  /** A quarter of the turns took less, a quarter took more. */
  quartersNs: [number, number];
  /** Of the medians. */
  echoes: number;
}

function summary({ ns }: Contender, echoNs: number): Summary {
  const sorted = ns.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  return { ns: at(0.5), quartersNs: [at(0.25), at(0.75)], echoes: at(0.5) / echoNs };
}

interface Result {
  program: string;
  title: string;
  own: Summary;
  other?: Summary;
  /** How the other's time relates to this one's: the median over the turns, each with both in it. */
  otherToOwn?: number;
}

function resultOf({ subject, own, other }: Row, echoNs: number): Result {
  const result: Result = { program: subject.program, title: subject.title, own: summary(own, echoNs) };
  if (other === undefined) return result;
  const ratios = own.ns.map((ns, turn) => (other.ns[turn] ?? 0) / ns).toSorted((a, b) => a - b);
  return {
    ...result,
    other: summary(other, echoNs),
    otherToOwn: ratios[Math.floor(ratios.length / 2)] ?? 0,
  };
}

function print(results: readonly Result[], isCompared: boolean): void {
  const cells = ({ ns, quartersNs, echoes }: Summary): string =>
    ` ${ns} | ${quartersNs[0]} – ${quartersNs[1]} | ${echoes.toFixed(2)} |`;
  console.log(
    isCompared
      ? '\n| | ns | middle half | echoes | the other: ns | middle half | echoes | other ÷ this |\n|---|---|---|---|---|---|---|---|'
      : '\n| | ns | middle half | echoes |\n|---|---|---|---|',
  );
  for (const { title, own, other, otherToOwn } of results) {
    console.log(
      `| ${title} |${cells(own)}${other && otherToOwn !== undefined ? `${cells(other)} ${otherToOwn.toFixed(3)} |` : ''}`,
    );
  }
}

function main(): void {
  const values = programOptions(
    'npm run bench:micro --',
    'What each primitive costs in the kernel, beside a bare echo.',
    {
      turns: { type: 'string', default: '101', value: 'N', about: 'turns of each program' },
      runs: { type: 'string', default: '2000', value: 'N', about: 'runs in a turn' },
      only: { type: 'string', default: '', value: 'PROGRAM,…', about: 'only these' },
      object: { type: 'string', default: OBJECT, value: 'FILE', about: 'the build to measure' },
      against: { type: 'string', value: 'FILE', about: 'take turns with this other build' },
      json: { type: 'boolean', default: false, about: 'print JSON' },
    },
  );
  const turns = integer('turns', values.turns, 1, TURNS_MAX);
  const runs = integer('runs', values.runs, 1, RUNS_MAX);
  const cases = chosen(values.only);
  const object = open(values.object);
  const against = values.against === undefined ? undefined : open(values.against);
  try {
    const rows = cases.map(
      (subject): Row => ({
        subject,
        own: contender(object, subject),
        other: against && contender(against, subject),
      }),
    );
    const loadSince = watchLoad();
    measure(rows, turns, runs);
    const load = loadSince();
    const echoNs = rows.find(({ subject }) => subject === ECHO)?.own;
    const reference = echoNs === undefined ? Number.NaN : summary(echoNs, 1).ns;
    const results = rows.map((row) => resultOf(row, reference));
    const what = machine();
    if (values.json) {
      console.log(JSON.stringify({ machine: what, load, turns, runs, results }));
      return;
    }
    console.log(
      `${what.processor}, ${what.cpus} CPUs, Linux ${what.kernel}, Node.js ${what.node}; medians of ${turns} turns of ${runs} runs each`,
    );
    if (load.busy) {
      console.log(
        `The machine is busy: meanwhile ${load.others.toFixed(1)} CPUs worked on other things and ${load.stolen.toFixed(1)} were taken away. Compare ratios, not ns.`,
      );
    }
    print(results, against !== undefined);
  } finally {
    against?.close();
    object.close();
  }
}

main();
