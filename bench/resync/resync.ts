/**
 * What lookups cost while all sessions are written again, as a resync does: sender, gateway and counting on one CPU, whoever
 * writes on another. Beside it the same with a neighbour that is as busy and writes nothing, since on most machines two CPUs share more
 * than the table. `npm run bench -- resync [--turns N] [--sessions N]`.
 */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { integer, programOptions } from '../../scripts/program-options.ts';
import type { SessionTable } from '../../src/sync/table.ts';
import { describeMachine, machineText } from '../compare/machine.ts';
import { type Contender, figures, inTurns, median, withDerived } from '../compare/measure.ts';
import { gatewayCase, type OneCore } from '../compare/one-core.ts';
import { hits } from '../compare/sets.ts';
import { BenchGateway } from '../traffic/gateway.ts';
import { Generator } from '../traffic/generator.ts';
import { BenchNetwork, type Pair } from '../traffic/network.ts';
import { pinTo } from '../traffic/processor.ts';
import { backendOf, benchKey, PORT, RECORD_VERSION, sessionHex } from '../traffic/world.ts';

const values = programOptions('npm run bench -- resync', 'What lookups cost while all sessions are written again.', {
  turns: { type: 'string', default: '9', value: 'N', about: 'turns of each' },
  sessions: { type: 'string', default: '1000000', value: 'N', about: 'sessions in the table' },
});
const TURNS = integer('turns', values.turns, 1, 1_000);
const SESSIONS = integer('sessions', values.sessions, 1, 100_000_000);
if (availableParallelism() < 2) {
  console.error('found one CPU, needed are two: one for lookups and one for whoever writes');
  process.exit(1);
}

const [LOOKUPS_CPU, WRITER_CPU] = [0, 1];
const BACKENDS = 100;
const FRAMES = Math.min(SESSIONS, 200_000);
const TURN_MS = 1_000;
/** As many as a page of a snapshot has. */
const PAGE = 500;
const QUIET = 'nobody writes';
const BUSY = 'a busy neighbour that writes nothing';
const BENCH = fileURLToPath(new URL('..', import.meta.url));
const NAME = `sg-resync-${process.pid}`;

/** Reads pages until it is told to end: each session is hashed, as by the sync, and given to `put`. */
class Neighbour {
  pages = 0;
  #running = true;
  readonly #ended: Promise<void>;

  constructor(put: (session: number, hash: string) => void, endPage: (whole: boolean) => void) {
    this.#ended = this.#run(put, endPage);
  }

  async #run(put: (session: number, hash: string) => void, endPage: (whole: boolean) => void): Promise<void> {
    for (let next = 0; this.#running; await nextTurn()) {
      const end = Math.min(next + PAGE, SESSIONS);
      for (let session = next; session < end; session++) put(session, sessionHex(session));
      endPage(end === SESSIONS);
      this.pages += 1;
      next = end % SESSIONS;
    }
  }

  async end(): Promise<void> {
    this.#running = false;
    await this.#ended;
  }
}

function resync(table: SessionTable): Neighbour {
  table.beginGeneration();
  return new Neighbour(
    (session, hash) => table.put(hash, RECORD_VERSION, 0, backendOf(session, BACKENDS)),
    (whole) => {
      table.flush();
      if (!whole) return;
      table.commitGeneration();
      table.beginGeneration();
    },
  );
}

/** The contender's own figures, and what its neighbour did meanwhile. */
function beside(name: string, lookups: Contender, start: () => Neighbour): Contender {
  return {
    name,
    async measure() {
      const neighbour = start();
      try {
        const beganMs = performance.now();
        const turn = await lookups.measure();
        const seconds = (performance.now() - beganMs) / 1000;
        return { ...turn, written: (neighbour.pages * PAGE) / seconds };
      } finally {
        await neighbour.end();
      }
    },
  };
}

async function main(): Promise<void> {
  execFileSync('make', ['--silent', '-C', BENCH, 'traffic'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const machine = machineText(describeMachine());
  const network = new BenchNetwork(NAME, 1);
  const pair = network.pairs[0] as Pair;
  const generator = new Generator(network, pair, LOOKUPS_CPU, { small: FRAMES, large: 1 });
  let gateway: BenchGateway | undefined;
  try {
    pinTo(WRITER_CPU);
    const key = benchKey(1);
    gateway = new BenchGateway({
      ...{ name: NAME, sessions: SESSIONS, backends: BACKENDS, keys: [key] },
      addresses: [pair.serverAddress],
    });
    const { table } = gateway.datapath;
    const target = { address: pair.serverAddress, port: PORT };
    const set = hits({ target, keys: [key], count: FRAMES, sessions: SESSIONS, backends: BACKENDS });
    const shares: number[] = [];
    const core: OneCore = { generator, pair, milliseconds: TURN_MS, share: (part) => void shares.push(part) };
    const lookups = gatewayCase(core, { name: QUIET, gateway, set });
    const contenders: Contender[] = [
      lookups,
      beside(
        BUSY,
        lookups,
        () =>
          new Neighbour(
            () => undefined,
            () => undefined,
          ),
      ),
      beside('a resync, as fast as it can be written', lookups, () => resync(table)),
    ];
    const { rows, leftOut } = await inTurns(TURNS, contenders, (text) => console.error(text));
    const compared = withDerived(rows, BUSY, (turn, base) => ({ ratio: (turn['ns'] ?? 0) / (base['ns'] ?? 0) }));
    const count = (value: number): string => (Number.isNaN(value) ? '' : Math.round(value).toLocaleString('en'));
    console.log(
      `On ${machine}; lookups on CPU ${LOOKUPS_CPU}, whoever writes on CPU ${WRITER_CPU}; ` +
        `${count(SESSIONS)} sessions; medians of ${TURNS} turns; every answer in 1,021 is looked at. ` +
        `The sender had ${Math.round(100 * Math.min(...shares))} % of its CPU at worst.\n`,
    );
    console.log(
      '| beside the lookups | sessions a second | ns a lookup, sender included | in those beside a busy neighbour |',
    );
    console.log('|---|---|---|---|');
    for (const row of compared) {
      const [written, ns, ratio] = ['written', 'ns', 'ratio'].map((column) => median(figures(row, column)));
      console.log(`| ${row.name} | ${count(written ?? 0)} | ${count(ns ?? 0)} | ${ratio?.toFixed(2)} |`);
    }
    for (const { name, why } of leftOut) console.log(`\nLeft out: ${name}: ${why}`);
  } finally {
    await generator.close();
    gateway?.close();
    network.close();
  }
}

await main();
