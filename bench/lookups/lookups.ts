/**
 * `npm run bench -- lookups`: what the gateway's whole program costs, by BPF_PROG_TEST_RUN: no network, one CPU. With --against another build of
 * build/gateway.bpf.o takes turns with this one, over a table of its own with the same sessions, which shows what a change gives. Needs root and
 * Linux 5.18; for the cost beside a bare echo, over a network, there is `npm run bench -- --only cost`.
 *
 *     [--against FILE] [--only a,b] [--sessions 100000] [--turns 101] [--runs 2000]
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { integer, programOptions, wrong } from '../../scripts/program-options.ts';
import { BpfObject, mapUpdate, runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import { SharedMemory } from '../../src/gateway/kernel/libc.ts';
import { ipv4 } from '../../test/model/frames.ts';
import { figures, inTurns, median, type Turn } from '../compare/measure.ts';
import { forgedGuards, hits, misses } from '../compare/sets.ts';
import type { FrameSet } from '../traffic/frames.ts';
import { BenchGateway } from '../traffic/gateway.ts';
import { benchKey, PORT } from '../traffic/world.ts';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
const AGAIN_OBJECT = fileURLToPath(new URL('../../build/again.bpf.o', import.meta.url));
/** As in again.bpf.c. */
const REQUESTS_MAX = 4096;
const BYTES_MAX = 1152;
const STATE = { words: 3, count: 1, bytes: 2 } as const;
const BACKENDS = 100;
const XDP = { DROP: 1, TX: 3 } as const;

const values = programOptions('npm run bench -- lookups', 'What the whole program costs, without a network.', {
  against: { type: 'string', value: 'FILE', about: 'take turns with this other build of gateway.bpf.o' },
  only: { type: 'string', value: 'NAME,…', about: 'only these cases' },
  sessions: { type: 'string', default: '100000', value: 'N', about: 'sessions in the table' },
  turns: { type: 'string', default: '101', value: 'N', about: 'turns of each case' },
  runs: { type: 'string', default: '2000', value: 'N', about: 'requests in a turn' },
});
const sessions = integer('sessions', values.sessions, 1, 10_000_000);
const turns = integer('turns', values.turns, 1, 100_000);
const runs = integer('runs', values.runs, 1, 1_000_000);

const address = ipv4(10, 99, 0, 2);
const [hmac, blake2s, encrypted] = [benchKey(1), benchKey(2, 'blake2s'), benchKey(3, 'hmac-sha256', true)];
const order = { target: { address, port: PORT }, sessions, backends: BACKENDS, count: REQUESTS_MAX };
const batches = { count: REQUESTS_MAX / 4, batch: 64 };

const CASES: Readonly<Record<string, () => FrameSet>> = {
  guard: () => forgedGuards(hits({ ...order, keys: [hmac] })),
  'hmac-sha256': () => hits({ ...order, keys: [hmac] }),
  'hmac-sha256-miss': () => misses({ ...order, keys: [hmac] }),
  'hmac-sha256-encrypted': () => hits({ ...order, keys: [encrypted] }),
  blake2s: () => hits({ ...order, keys: [blake2s] }),
  'hmac-sha256-batch': () => hits({ ...order, ...batches, keys: [hmac] }),
  'blake2s-batch': () => hits({ ...order, ...batches, keys: [blake2s] }),
};
const chosen = values.only?.split(',') ?? Object.keys(CASES);
for (const name of chosen)
  if (!(name in CASES)) wrong(`--only: found "${name}", allowed: ${Object.keys(CASES).join(', ')}`);

/** Requests that come again and again, and the program that they are for. */
class Again {
  readonly #object = new BpfObject(AGAIN_OBJECT);
  readonly #memories: SharedMemory[];
  readonly #input: Uint8Array;

  /** @param program undefined = none, the requests are copied only */
  constructor(set: FrameSet, program?: number) {
    this.#object.load('again');
    const requests = new SharedMemory(this.#object.mapFd('requests'), REQUESTS_MAX * BYTES_MAX);
    const state = new SharedMemory(this.#object.mapFd('state'), STATE.words * 8);
    this.#memories = [requests, state];
    const bytes = new Uint8Array(requests.buffer);
    for (let i = 0; i < set.count; i++)
      bytes.set(set.bytes.subarray(i * set.frameBytes, (i + 1) * set.frameBytes), i * BYTES_MAX);
    const words = new BigUint64Array(state.buffer);
    words[STATE.count] = BigInt(set.count);
    words[STATE.bytes] = BigInt(set.frameBytes);
    this.#input = new Uint8Array(set.frameBytes);
    if (program === undefined) return;
    const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
    mapUpdate(this.#object.mapFd('programs'), word(0), word(program));
    const { action, packet } = runOnPacket(this.#object.programFd('again'), this.#input);
    const problem = action === XDP.TX ? set.problemOf(packet) : action === XDP.DROP ? undefined : `action ${action}`;
    if (problem !== undefined) throw new Error(`${set.name}: ${problem}`);
  }

  /** ns of a run, on average. */
  run(): number {
    return runOnPacket(this.#object.programFd('again'), this.#input, runs).durationNs;
  }

  close(): void {
    for (const memory of this.#memories) memory.close();
    this.#object.close();
  }
}

async function measure(name: string, set: FrameSet, programs: readonly number[]): Promise<void> {
  const copying = new Again(set);
  const contenders = programs.map((program) => new Again(set, program));
  let isReversed = false;
  const turn = async (): Promise<Turn> => {
    const copyingNs = copying.run();
    // which of two goes first changes from turn to turn
    const found = contenders.map((contender) => contender.run());
    contenders.reverse();
    const [own = 0, other = Number.NaN] = isReversed ? found.reverse() : found;
    isReversed = !isReversed && contenders.length > 1;
    const ns = (own - copyingNs) / set.lookups;
    return { ns, ratio: (other - copyingNs) / (own - copyingNs) };
  };
  try {
    const { rows } = await inTurns(turns, [{ name, measure: turn }], () => undefined);
    const [row] = rows;
    if (row === undefined) return;
    const ratio = programs.length > 1 ? ` ${median(figures(row, 'ratio')).toFixed(3)} |` : '';
    console.log(`| ${name} | ${median(figures(row, 'ns')).toFixed(0)} |${ratio}`);
  } finally {
    for (const one of [copying, ...contenders]) one.close();
  }
}

execFileSync('make', ['--silent', '-C', BENCH, 'lookups'], { stdio: ['ignore', 'inherit', 'inherit'] });
const gateways: BenchGateway[] = [];
try {
  for (const object of [undefined, ...(values.against === undefined ? [] : [values.against])]) {
    const name = `bench-lookups-${process.pid}-${gateways.length}`;
    const keys = [hmac, blake2s, encrypted];
    gateways.push(new BenchGateway({ name, sessions, backends: BACKENDS, keys, addresses: [address], object }));
  }
  const compared = values.against !== undefined;
  console.log(
    `${sessions} sessions, medians of ${turns} turns of ${runs} runs\n\n| | ns a lookup |${compared ? ' other ÷ this |' : ''}`,
  );
  console.log(`|---|---|${compared ? '---|' : ''}`);
  const programs = gateways.map(({ datapath }) => datapath.programDescriptor);
  for (const name of chosen) await measure(name, (CASES[name] as () => FrameSet)(), programs);
} finally {
  for (const gateway of gateways) gateway.close();
}
