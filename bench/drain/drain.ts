/**
 * How soon the users of a backend with a million sessions are answered with others after it was drained, beside the time that
 * rewriting their million records in Redis takes. Over real packets, from a client through a veth pair.
 * `npm run bench -- drain [--sessions N] [--turns N]`. Needs root, redis-server, and 1 GB of memory for a million.
 *
 * A time begins just before the command is sent to Redis, and ends as the asker (asker.ts) gets an answer. It asks without pause for
 * a sample of the backend's sessions; of one round through it, that takes some tenths of a second, an answer comes every 0.1 ms or so.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, openSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { integer, programOptions } from '../../scripts/program-options.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { shedRankOf } from '../../src/auth/placement.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { Functions } from '../../src/sync/redis/functions.ts';
import type { Answer, Asked, Change, Watch } from './asker.ts';

const values = programOptions(
  'npm run bench -- drain',
  'How soon the users of a drained backend are answered with others.',
  {
    sessions: { type: 'string', default: '1000000', value: 'N', about: 'sessions of the backend' },
    turns: { type: 'string', default: '11', value: 'N', about: 'drains' },
  },
);
const SESSIONS = integer('sessions', values.sessions, 10_000, 10_000_000);
const TURNS = integer('turns', values.turns, 1, 1_000);
const BACKENDS = 8;
const SAMPLE = 4_096;
const SHED_PERCENT = 30;
/** Rewriting takes so much longer that fewer turns will do. */
const REWRITES = 3;
const FEED = 'sessions:feed';
const FOREVER_MS = 253_402_300_799_999;
/** Changes come at any time in the gateway's rhythm of one check a second. */
const PAUSE_MAX_MS = 1_000;

/** Writes sessions ARGV[1] to ARGV[2] as an application would, without the feed. */
const FILL = `
for i = ARGV[1], ARGV[2] do
  local key = 'sess:session-' .. i
  redis.call('HSET', key, 'backend', 'web-1')
  redis.call('PEXPIREAT', key, ARGV[3])
end`;
const FILL_STEP = 5_000;
const WRITE_STEP = 10_000;

const sidOf = (i: number): string => `session-${i}`;
const sample = Array.from({ length: SAMPLE }, (_, i) => sidOf(1 + Math.floor((i * SESSIONS) / SAMPLE)));
const shed = sample.filter((sid) => shedRankOf(cookieHash(sid)) < SHED_PERCENT * 100);

/** The next message of the asker; fails when it ends instead. */
function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`the asker ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (received) => {
      child.off('exit', ended);
      resolve(received);
    });
  });
}

interface Times {
  readonly firstMs: number[];
  readonly lastMs: number[];
  answers: number;
  strays: number;
}

class Bench {
  readonly #asker: ChildProcess;
  readonly #times = new Map<string, Times>();

  constructor(asker: ChildProcess) {
    this.#asker = asker;
  }

  /** Makes a change while its users are asked for, and notes when their answers changed. */
  async change(what: string, watch: Watch, make: () => Promise<unknown>): Promise<void> {
    this.#asker.send(watch);
    await message(this.#asker);
    await sleep(Math.random() * PAUSE_MAX_MS);
    const changed = message(this.#asker);
    const beganNs = process.hrtime.bigint();
    await make();
    const { firstNs, lastBeforeNs, answers, strays } = (await changed) as Change;
    const times = this.#times.get(what) ?? { firstMs: [], lastMs: [], answers: 0, strays: 0 };
    this.#times.set(what, times);
    const since = (ns: string): number => Math.max(0, Number(BigInt(ns) - beganNs) / 1e6);
    times.firstMs.push(since(firstNs));
    times.lastMs.push(since(lastBeforeNs));
    times.answers += answers;
    times.strays += strays;
  }

  /** Prints what was noted since the last time. */
  print(): void {
    console.log('\n| | turns | first new answer | last old answer | at most | answers looked at | without an answer |');
    console.log('|---|---|---|---|---|---|---|');
    for (const [what, { firstMs, lastMs, answers, strays }] of this.#times) {
      const times = [median(firstMs), median(lastMs), Math.max(...firstMs, ...lastMs)].map(shown);
      console.log(`| ${[what, firstMs.length, ...times, answers.toLocaleString('en'), strays].join(' | ')} |`);
    }
    this.#times.clear();
  }
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
const shown = (ms: number): string => (ms < 1_000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`);

/** A file of a million commands, in the form in which they go to Redis. */
async function writeCommands(file: string, commandOf: (sid: string) => readonly string[]): Promise<void> {
  const out = createWriteStream(file);
  for (let first = 1; first <= SESSIONS; first += WRITE_STEP) {
    let text = '';
    for (let i = first; i < Math.min(first + WRITE_STEP, SESSIONS + 1); i++) {
      const words = commandOf(sidOf(i));
      text += `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
    }
    if (!out.write(text)) await once(out, 'drain');
  }
  out.end();
  await finished(out);
}

/** Redis's own client, which sends all without waiting for replies. @returns ms */
async function pipe(socket: string, file: string): Promise<number> {
  const beganMs = performance.now();
  const child = spawn('redis-cli', ['-s', socket, '--pipe'], { stdio: [openSync(file, 'r'), 'ignore', 'inherit'] });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`redis-cli ended with ${code}`);
  return performance.now() - beganMs;
}

async function measure(stage: Stage, functions: Functions, bench: Bench): Promise<void> {
  const hset = join(stage.directory, 'hset');
  const moves = join(stage.directory, 'moves');
  await writeCommands(hset, (sid) => ['HSET', `sess:${sid}`, 'backend', 'web-1']);
  await writeCommands(moves, (sid) => ['FCALL', 'session_move', '2', `sess:${sid}`, FEED, sid, 'web-1', 'web-2']);
  const patch = (fields: object) => () => functions.backendPatch('web-1', fields);
  const between = (sids: readonly string[], from: Answer, to: Answer): Watch => ({ sids, from, to });
  const rewriteMs: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    await bench.change('drain', between(sample, 'stored', 'moved'), patch({ state: 'draining' }));
    await bench.change('undrain', between(sample, 'moved', 'stored'), patch({ state: 'active' }));
    await bench.change(`shed ${SHED_PERCENT} %`, between(shed, 'stored', 'moved'), patch({ shed: SHED_PERCENT * 100 }));
    await bench.change('shed 0 %', between(shed, 'moved', 'stored'), patch({ shed: 0 }));
    const sid = sample[turn % SAMPLE] as string;
    const hash = Buffer.from(cookieHash(sid)).toString('hex');
    await bench.change('deny', between([sid], 'stored', 'denied'), () => functions.sessionDeny(hash, FOREVER_MS));
    await bench.change('allow', between([sid], 'denied', 'stored'), () => functions.sessionDeny(hash, 0));
    if (turn < REWRITES) rewriteMs.push(await pipe(stage.redisSocket, hset));
  }
  bench.print();
  const rate = Math.round(SESSIONS / median(rewriteMs)).toLocaleString('en');
  console.log(
    `\nRewriting ${SESSIONS.toLocaleString('en')} records in Redis alone (HSET by redis-cli --pipe): ${shown(median(rewriteMs))}, ${rate},000 a second; median of ${rewriteMs.length}.`,
  );
  await bench.change('session_move of each', between(sample, 'stored', 'other'), () => pipe(stage.redisSocket, moves));
  bench.print();
}

async function run(stage: Stage): Promise<void> {
  await stage.startRedis();
  const redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  let asker: ChildProcess | undefined;
  try {
    const key = randomKey(1);
    stage.writeKeys([key]);
    const functions = new Functions(redis, { names: 'gateway:', sessionPrefix: 'sess:', feed: FEED });
    for (let id = 1; id <= BACKENDS; id++) {
      await functions.backendPatch(`web-${id}`, { id, address: `10.0.0.${id}:8080` });
    }
    const endMs = Date.now() + 36_000_000;
    for (let first = 1; first <= SESSIONS; first += FILL_STEP) {
      await redis.eval(FILL, 0, first, Math.min(first + FILL_STEP - 1, SESSIONS), endMs);
    }
    await stage.startGateway();
    console.log(
      `${SESSIONS.toLocaleString('en')} sessions on one of ${BACKENDS} backends, ${SAMPLE} of them asked for; ${cpus()[0]?.model.trim()}, ${availableParallelism()} CPUs,` +
        ` Linux ${release()}, Node.js ${process.version}; load average ${readFileSync('/proc/loadavg', 'utf8').split(' ')[0]}`,
    );
    asker = fork(fileURLToPath(new URL('asker.ts', import.meta.url)));
    const secretHex = Buffer.from(key.secret).toString('hex');
    asker.send({ host: GATEWAY_IPV4, port: stage.port, fields: key.fields, secretHex } satisfies Asked);
    await measure(stage, functions, new Bench(asker));
  } finally {
    asker?.kill();
    redis.disconnect();
  }
}

const stage = new Stage({
  name: `drain-${process.pid}`,
  capacity: Math.ceil(SESSIONS * 1.1),
  readyTimeoutMs: 600_000,
});
try {
  await run(stage);
} finally {
  await stage.close();
}
