/**
 * Ten million sessions: how long the gateway takes to load them, to read them all again, to take in a burst of entries
 * and to collect what has expired, and how much memory its process needs, while sessions are written. Prints a table. Needs root, redis-server, and
 * 4 GB of memory for ten million.
 *
 *     scripts/ready && .tools/node bench/scale.ts [--sessions 10000000] [--rate 20000]
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { integer, programOptions } from '../scripts/program-options.ts';
import { askDaemon } from '../src/gateway/control/client.ts';
import { randomKey, Stage } from '../src/gateway/demo/stage.ts';
import type { Status } from '../src/gateway/ports.ts';
import { Functions } from '../src/sync/redis/functions.ts';

const values = programOptions(
  'npm run bench -- scale',
  'How long ten million sessions take to load and to follow, and how much memory they need.',
  {
    sessions: { type: 'string', default: '10000000', value: 'N', about: 'sessions in Redis' },
    rate: { type: 'string', default: '20000', value: 'N', about: 'sessions written a second meanwhile' },
  },
);
const SESSIONS = integer('sessions', values.sessions, 1_000, 100_000_000);
const RATE = integer('rate', values.rate, 100, 1_000_000);
/** One in so many sessions ends while it is watched. */
const SHORT_ONE_IN = 100;
const SHORT_MS = 1_000;
const RESYNCS = 2;
const FOLLOW_MS = 20_000;
/** Entries that the feed has for a daemon that was away for a moment; as many as a feed keeps. */
const BURST = 1_000_000;
const WAIT_MS = 1_200_000;
const FEED = 'sessions:feed';

/** Writes sessions ARGV[1] to ARGV[2] as an application would, without the feed. */
const FILL = `
for i = ARGV[1], ARGV[2] do
  local key = 'sess:session-' .. i
  redis.call('HSET', key, 'backend', 'web-' .. (i % 8 + 1))
  redis.call('PEXPIREAT', key, ARGV[3])
end`;
const FILL_STEP = 5_000;

const rows: [what: string, value: string][] = [];

function note(what: string, value: string): void {
  rows.push([what, value]);
  console.error(`${what}: ${value}`);
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const megabytes = (kb: number): string => `${Math.round(kb / 1024)} MB`;

/** kB of VmRSS or VmHWM (the most that VmRSS ever was). */
function memory(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0);
}

/** ms of the processor that a process has used. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited ${WAIT_MS} ms in vain: ${what}`);
    await sleep(200);
  }
}

/** Writes `RATE` sessions a second through the function library until `signal` is aborted. @returns how many */
async function write(functions: Functions, signal: AbortSignal): Promise<number> {
  const startedMs = performance.now();
  let written = 0;
  while (!signal.aborted) {
    const due = Math.floor(((performance.now() - startedMs) / 1000) * RATE);
    const batch: Promise<unknown>[] = [];
    for (; written < due && batch.length < 2_000; written++) {
      const sid = `session-${(written * 7919) % SESSIONS}`;
      batch.push(functions.sessionSet(sid, `web-${(written % 8) + 1}`, 3_600_000));
    }
    await Promise.all(batch);
    await sleep(10);
  }
  return written;
}

async function run(stage: Stage): Promise<void> {
  await stage.startRedis();
  const redis = new Redis({ path: stage.redisSocket, protocol: 2, enableAutoPipelining: true });
  try {
    stage.writeKeys([randomKey(1)]);
    const functions = new Functions(redis, { names: 'gateway:', sessionPrefix: 'sess:', feed: FEED });
    for (let id = 1; id <= 8; id++) await functions.backendPatch(`web-${id}`, { id, address: `10.0.0.${id}:8080` });
    const filledMs = performance.now();
    for (let first = 1; first <= SESSIONS; first += FILL_STEP) {
      const last = Math.min(first + FILL_STEP - 1, SESSIONS);
      await redis.eval(FILL, 0, first, last, Date.now() + 36_000_000);
    }
    note('Redis filled in', seconds(performance.now() - filledMs));
    const used = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1];
    note('Redis holds', megabytes(Number(used) / 1024));
    await measure(stage, redis, functions);
  } finally {
    redis.disconnect();
  }
}

async function measure(stage: Stage, redis: Redis, functions: Functions): Promise<void> {
  const socket = `${stage.directory}/gateway.sock`;
  const status = async (): Promise<Status> =>
    (await askDaemon(socket, { method: 'GET', path: '/v1/status' })) as Status;
  await stage.startGateway();
  const { pid, sync } = await status();
  const load = sync.lastResync;
  if (load === null) throw new Error('ready without a load');
  const loadMs = load.endedMs - load.startedMs;
  note('first load', `${seconds(loadMs)}, ${Math.round((load.sessions / loadMs) * 1000)} sessions/s`);
  note('resident after it', `${megabytes(memory(pid, 'VmRSS'))}, at most ${megabytes(memory(pid, 'VmHWM'))}`);

  const writing = new AbortController();
  const writer = write(functions, writing.signal);
  const startedMs = performance.now();
  const startedProcessorMs = processorMs(pid);
  let mostLag = 0;
  let mostAgeMs = 0;
  while (performance.now() - startedMs < FOLLOW_MS) {
    await sleep(500);
    const now = await status();
    mostLag = Math.max(mostLag, now.sync.lagEntries ?? 0);
    mostAgeMs = Math.max(mostAgeMs, now.ageMs ?? 0);
  }
  const share = (processorMs(pid) - startedProcessorMs) / (performance.now() - startedMs);
  note(
    `following ${RATE} writes/s`,
    `${Math.round(share * 100)} % of a core, behind by at most ${mostLag} entries, ${mostAgeMs} ms`,
  );
  note('resident then', `${megabytes(memory(pid, 'VmRSS'))}, at most ${megabytes(memory(pid, 'VmHWM'))}`);

  for (let round = 1; round <= RESYNCS; round++) {
    const before = (await status()).sync.lastResync?.endedMs;
    await redis.del(FEED);
    await until('a resync', async () => {
      const { lastResync, resync } = (await status()).sync;
      return lastResync?.endedMs !== before && resync === null;
    });
    const last = (await status()).sync.lastResync;
    const tookMs = (last?.endedMs ?? 0) - (last?.startedMs ?? 0);
    note(`resync ${round}, writes going on`, seconds(tookMs));
    note('resident then', `${megabytes(memory(pid, 'VmRSS'))}, at most ${megabytes(memory(pid, 'VmHWM'))}`);
  }
  writing.abort();
  note('written meanwhile', String(await writer));

  // A daemon that is stopped misses nothing: the feed keeps it all.
  process.kill(pid, 'SIGSTOP');
  try {
    for (let first = 1; first <= BURST; first += FILL_STEP) {
      await Promise.all(
        Array.from({ length: FILL_STEP }, (_, i) =>
          functions.sessionSet(`session-${((first + i) % SESSIONS) + 1}`, 'web-2', 3_600_000),
        ),
      );
    }
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  const burstMs = performance.now();
  await until('the burst is in', async () => {
    const { lagEntries, state } = (await status()).sync;
    return state === 'following' && lagEntries === 0;
  });
  note(`a burst of ${BURST} entries is in`, `within ${seconds(performance.now() - burstMs)}`);
  note('resident then', `${megabytes(memory(pid, 'VmRSS'))}, at most ${megabytes(memory(pid, 'VmHWM'))}`);

  const short = Math.ceil(SESSIONS / SHORT_ONE_IN);
  for (let first = 1; first <= short; first += FILL_STEP) {
    const last = Math.min(first + FILL_STEP - 1, short);
    const ids = Array.from({ length: last - first + 1 }, (_, i) => `session-${first + i}`);
    await Promise.all(ids.map((sid) => functions.sessionSet(sid, 'web-1', SHORT_MS)));
  }
  const sweepMs = performance.now();
  await until('what has ended is collected', async () => (await status()).sessions <= SESSIONS - short + 1);
  note(`${short} ended sessions collected`, `within ${seconds(performance.now() - sweepMs)}`);
  const end = await status();
  note('in the kernel at the end', `${end.sessions} of ${end.capacity}, refused ${end.refused}`);
  note('resident at the end', `${megabytes(memory(pid, 'VmRSS'))}, at most ${megabytes(memory(pid, 'VmHWM'))}`);
}

const stage = new Stage({
  name: `scale-${process.pid}`,
  capacity: Math.ceil(SESSIONS * 1.1),
  readyTimeoutMs: WAIT_MS,
});
try {
  await run(stage);
} finally {
  await stage.close();
}
const cpu = cpus()[0]?.model ?? 'unknown processor';
console.log(`${SESSIONS} sessions, ${cpu}, Node.js ${process.version}\n`);
const width = Math.max(...rows.map(([what]) => what.length));
for (const [what, value] of rows) console.log(`${what.padEnd(width)}  ${value}`);
