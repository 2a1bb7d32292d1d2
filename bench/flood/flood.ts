/**
 * What a flood of forged packets costs the gateway, beside a bare echo, and how many authentic requests are answered
 * meanwhile. Everything happens on one CPU: the sender, the gateway at the other end of a veth pair, and the counting of
 * answers. `npm run bench -- flood [--rounds N] [--cpu N]`.
 */
import { execFileSync } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { integer, programOptions } from '../../scripts/program-options.ts';
import { describeMachine, machineText } from '../compare/machine.ts';
import { type Contender, figures, inTurns, median, withDerived } from '../compare/measure.ts';
import { bare, ECHO, gatewayCase, type OneCore } from '../compare/one-core.ts';
import { forgedGuards, forgedTags, hits } from '../compare/sets.ts';
import { changed, type FrameSet } from '../traffic/frames.ts';
import { BenchGateway, SKEW_MS } from '../traffic/gateway.ts';
import { type Flow, Generator, VARY } from '../traffic/generator.ts';
import { BenchNetwork, type Pair } from '../traffic/network.ts';
import { benchKey, PORT } from '../traffic/world.ts';

const values = programOptions(
  'npm run bench -- flood',
  'What a flood of forged packets costs, and how many authentic requests are answered meanwhile.',
  {
    rounds: { type: 'string', default: '5', value: 'N', about: 'turns of each packet' },
    cpu: {
      type: 'string',
      default: String(availableParallelism() - 1),
      value: 'N',
      about: 'CPU that sends, answers and counts',
    },
  },
);
const ROUNDS = integer('rounds', values.rounds, 1, 1_000);
const CPU = integer('cpu', values.cpu, 0, 4_095);

const SESSIONS = 100_000;
const BACKENDS = 100;
const FRAMES = 1_021;
const COST_MS = 500;
const BESIDE_PACKETS = 2_000_000;
const FLOODS = [0, 100_000, 500_000, 1_000_000];
const BENCH = fileURLToPath(new URL('..', import.meta.url));
const NAME = `sg-flood-${process.pid}`;

const key = benchKey(1);
const count = (value: number): string => Math.round(value).toLocaleString('en');

interface Packet {
  readonly name: string;
  readonly set: FrameSet;
  readonly vary?: number;
  readonly kind?: 'never' | 'old';
  readonly who: string;
}

function packets(authentic: FrameSet, old: FrameSet): Packet[] {
  const malformed = changed(authentic, 'malformed', (payload) => payload.fill(0, 0, 1));
  return [
    { name: 'malformed: magic', set: malformed, who: 'anyone' },
    { name: 'unknown key', set: unanswered(authentic), vary: VARY.keyId, who: 'anyone' },
    { name: 'wrong guard', set: forgedGuards(authentic), who: 'anyone' },
    { name: 'old capture, over the budget', set: old, kind: 'old', who: 'who captured a request at any time' },
    { name: 'right guard, wrong tag', set: forgedTags(authentic, key), who: 'who holds the key' },
  ];
}

function unanswered(set: FrameSet): FrameSet {
  return { ...set, problemOf: () => 'an answer, where there should be none' };
}

/** Nanoseconds of processor time a packet. */
async function measureCosts(
  core: OneCore,
  gateway: BenchGateway,
  authentic: FrameSet,
  forged: readonly Packet[],
): Promise<void> {
  const contenders: Contender[] = [
    bare(core, 'drop', authentic, 'bare drop'),
    bare(core, 'echo', authentic, ECHO),
    ...forged.map(({ name, set, vary = VARY.nothing, kind = 'never' }) =>
      gatewayCase(core, { name, gateway, set, vary, forged: kind }),
    ),
    gatewayCase(core, { name: 'authentic', gateway, set: authentic }),
  ];
  const { rows, leftOut } = await inTurns(ROUNDS, contenders, (text) => console.error(text));
  const who = new Map(forged.map((packet) => [packet.name, packet.who]));
  who.set('authentic', 'who holds the key, or captured a request within the skew');
  console.log('\n| packet | who can send it | ns each, sender included | in bare echoes |\n|---|---|---|---|');
  const compared = withDerived(rows, ECHO, (turn, echo) => ({ echoes: (turn['ns'] ?? 0) / (echo['ns'] ?? 0) }));
  for (const row of compared) {
    const [ns, echoes] = [median(figures(row, 'ns')), median(figures(row, 'echoes'))];
    console.log(`| ${row.name} | ${who.get(row.name) ?? ''} | ${count(ns)} | ${echoes.toFixed(2)} |`);
  }
  for (const { name, why } of leftOut) console.log(`\nLeft out: ${name}: ${why}`);
  const anyones = compared.filter(({ name }) => forged.slice(0, -1).some((packet) => packet.name === name));
  const worst = Math.max(...anyones.map((row) => median(figures(row, 'echoes'))));
  console.log(`\nThe dearest forged packet costs ${worst.toFixed(2)} bare echoes.`);
}

async function measureBeside(core: OneCore, gateway: BenchGateway, authentic: FrameSet): Promise<void> {
  const { generator, pair } = core;
  const forged = forgedGuards(authentic);
  const detach = gateway.attach(pair.server);
  console.log('\n| forged a second: asked for | sent | authentic a second, all answered | lost |\n|---|---|---|---|');
  for (const rate of FLOODS) {
    const forgedRates: number[] = [];
    const authenticRates: number[] = [];
    let lost = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const flows: Flow[] = rate === 0 ? [{ set: authentic }] : [{ set: forged, rate }, { set: authentic }];
      const run = await generator.run({ flows, milliseconds: 0, runs: BESIDE_PACKETS });
      if (run.wrong.count > 0) throw new Error(`a wrong answer: ${run.wrong.first}`);
      const sent = run.sent.at(-1) ?? 0;
      forgedRates.push(rate === 0 ? 0 : ((run.sent[0] ?? 0) * 1e9) / run.elapsedNs);
      authenticRates.push((run.replies * 1e9) / run.elapsedNs);
      lost += sent - run.replies;
    }
    const cells = [rate, median(forgedRates), median(authenticRates), lost].map(count);
    console.log(`| ${cells.join(' | ')} |`);
  }
  detach();
}

async function main(): Promise<void> {
  execFileSync('make', ['--silent', '-C', BENCH, 'traffic'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const network = new BenchNetwork(NAME, 1);
  const pair = network.pairs[0] as Pair;
  const generator = new Generator(network, pair, CPU, { small: 2 * FRAMES, large: 1 });
  let gateway: BenchGateway | undefined;
  try {
    gateway = new BenchGateway({
      ...{ name: NAME, sessions: SESSIONS, backends: BACKENDS, keys: [key] },
      addresses: [pair.serverAddress],
    });
    const core: OneCore = { generator, pair, milliseconds: COST_MS, share() {} };
    const order = {
      ...{ target: { address: pair.serverAddress, port: PORT }, keys: [key], count: FRAMES },
      ...{ sessions: SESSIONS, backends: BACKENDS },
    };
    const authentic = hits(order);
    const old = hits({ ...order, timeMs: Date.now() - 2 * SKEW_MS });
    console.log(
      `On ${machineText(describeMachine())}; all on CPU ${CPU}; ${count(SESSIONS)} sessions; medians of ${ROUNDS} rounds; ` +
        `load average at the start ${loadavg()[0]?.toFixed(1)}`,
    );
    await measureCosts(core, gateway, authentic, packets(authentic, old));
    await measureBeside(core, gateway, authentic);
  } finally {
    await generator.close();
    gateway?.close();
    network.close();
  }
}

await main();
