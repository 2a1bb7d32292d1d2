/**
 * The way of sessions from Redis into the kernel: how fast a first load is beside bare clients in C that read the same keys, how fast
 * a full feed is followed, how soon a write is visible, and the memory of the daemon. Everything in turns, medians over the turns.
 * Redis has the first CPU, the daemon the second one; whoever drives them is hardly busy, but for the clients in C, which
 * take the daemon's while it does not run. Needs root, redis-server, clang.
 *
 *     npm run bench -- sync [--quick] [--turns 3] [--sessions 1000000] [--entries 400000] [--beside bin/gateway of another checkout]
 */
import { execFile, execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { integer, programOptions } from '../../scripts/program-options.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { detachAll } from '../../src/gateway/kernel/datapath.ts';
import type { Status } from '../../src/gateway/ports.ts';
import { PAGE_MAX_BYTES } from '../../src/sync/limits.ts';
import { Functions } from '../../src/sync/redis/functions.ts';
import { PAGE_SCRIPT } from '../../src/sync/redis/scripts.ts';
import { readArguments } from '../../src/sync/snapshot/session-forms.ts';
import { DEFAULT_TUNING } from '../../src/sync/tuning.ts';

const values = programOptions('npm run bench -- sync', 'How fast sessions come from Redis into the kernel.', {
  quick: { type: 'boolean', default: false, about: 'a look: fewer and shorter turns' },
  turns: { type: 'string', value: 'N', about: 'turns of each, 5 or 1 unless told' },
  sessions: { type: 'string', value: 'N', about: 'sessions in Redis, 1000000 or 200000 unless told' },
  entries: { type: 'string', value: 'N', about: 'entries of the full feed, 400000 or 200000 unless told' },
  beside: { type: 'string', value: 'FILE', about: 'take turns with bin/gateway of another checkout' },
});
const SESSIONS = integer('sessions', values.sessions ?? (values.quick ? '200000' : '1000000'), 1_000, 100_000_000);
/** One Lua script adds them, during which Redis answers nobody: not so long that the daemon gives it up. */
const ENTRIES = integer('entries', values.entries ?? (values.quick ? '200000' : '400000'), 1_000, 600_000);
const TURNS = integer('turns', values.turns ?? (values.quick ? '1' : '5'), 1, 100);
const WRITES = values.quick ? 20_000 : 100_000;
const WRITES_PER_SECOND = 10_000;
const FEED = 'sessions:feed';
const WAIT_MS = 1_200_000;
const FILL_STEP = 5_000;
const [REDIS_CPU, DAEMON_CPU] = [0, Math.min(1, availableParallelism() - 1)];
const OWN = fileURLToPath(new URL('../../bin/gateway', import.meta.url));
const STAMPS = fileURLToPath(new URL('../../build/stamps.bpf.o', import.meta.url));
const CLIENT = fileURLToPath(new URL('../../build/sync-client', import.meta.url));

/** Writes sessions ARGV[1] to ARGV[2] as an application would, without the feed. */
const FILL = `
for i = ARGV[1], ARGV[2] do
  local key = 'sess:session-' .. i
  redis.call('HSET', key, 'backend', 'web-' .. (i % 8 + 1))
  redis.call('PEXPIREAT', key, ARGV[3])
end`;

/** Adds ARGV[1] entries for ARGV[2] sessions to the feed, and one for session ARGV[3]. */
const BURST = `
local ends = redis.call('TIME')[1] .. '0000000'
for i = 1, ARGV[1] do
  local sid = i == tonumber(ARGV[1]) and ARGV[3] or 'session-' .. (i * 7919 % ARGV[2] + 1)
  redis.call('XADD', KEYS[1], '*', 'op', 'set', 'sid', sid, 'backend', 'web-' .. (i % 8 + 1), 'expires', ends)
end
return 1`;

/** What is measured, with the figure of each turn. */
const figures = new Map<string, number[]>();

function note(what: string, value: number): void {
  figures.set(what, [...(figures.get(what) ?? []), value]);
  console.error(`${what}: ${Math.round(value)}`);
}

function pinTo(cpu: number, pid: number): void {
  execFileSync('taskset', ['-a', '-p', '-c', String(cpu), String(pid)], { stdio: 'ignore' });
}

/** Runs the client in C on the daemon's CPU, or with `free` on any. @returns the numbers that it prints */
async function client(args: readonly string[], free = false): Promise<number[]> {
  const command = [CLIENT, stage.redisSocket, ...args];
  if (!free) command.unshift('taskset', '-c', String(DAEMON_CPU));
  const { stdout } = await promisify(execFile)(command[0] as string, command.slice(1));
  return stdout.trim().split(' ').map(Number);
}

async function readByClients(redis: Redis): Promise<void> {
  const sha1 = String(await redis.script('LOAD', PAGE_SCRIPT.text));
  const form = readArguments({ in: 'hash', field: 'backend' }).map(String);
  const { pageSize } = DEFAULT_TUNING;
  const page = [sha1, FEED, 'sess:*', String(pageSize), String(PAGE_MAX_BYTES), ...form];
  const [byPage = 0, pageSeconds = 1] = await client(['pages', ...page]);
  note('read by a C client, page script: sessions/s', byPage / pageSeconds);
  const [plainly = 0, plainSeconds = 1] = await client(['plain', 'sess:*', String(pageSize), 'backend']);
  note('read by a C client, HGET and PEXPIRETIME pipelined: sessions/s', plainly / plainSeconds);
  await writes('by a follower in C: ', ['follow', String(DAEMON_CPU)], redis);
}

interface Contender {
  readonly name: string;
  readonly command: string;
}

async function status(): Promise<Status> {
  return (await askDaemon(`${stage.directory}/gateway.sock`, { method: 'GET', path: '/v1/status' })) as Status;
}

/** ms of the processor that a process has used. */
function processorMs(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function megabytes(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}

async function turn({ name, command }: Contender, redis: Redis): Promise<void> {
  const wrapper = join(stage.directory, 'gateway.sh');
  fs.writeFileSync(wrapper, `#!/bin/sh\nexec taskset -c ${DAEMON_CPU} ${command} "$@"\n`, { mode: 0o700 });
  stage.writeConfig({ command: wrapper });
  await stage.startGateway();
  const { pid, sync } = await status();
  const load = sync.lastResync;
  if (load === null) throw new Error('ready without a load');
  note(`${name}first load: sessions/s`, (1000 * load.sessions) / (load.endedMs - load.startedMs));
  // The first one makes Node.js compile what is then measured.
  await burst(`${name}(first) `, redis, pid);
  await burst(name, redis, pid);
  await writes(name, ['visible', STAMPS, pinnedMap('changes'), String(pid)], redis);
  note(`${name}resident, MB`, megabytes(pid, 'VmRSS'));
  note(`${name}the most that was ever resident, MB`, megabytes(pid, 'VmHWM'));
  await stage.stopGateway();
  detachAll(stage.pins);
}

/** The path of one of the gateway's maps. */
function pinnedMap(name: string): string {
  const paths = fs.readdirSync(stage.pins).map((directory) => join(stage.pins, directory, name));
  const map = paths.find((path) => fs.existsSync(path));
  if (map === undefined) throw new Error(`no map "${name}" below ${stage.pins}`);
  return map;
}

/** @returns the path of a file with their cookie hashes, one after the other */
function hashesOf(sids: readonly string[]): string {
  const file = join(stage.directory, 'hashes');
  fs.writeFileSync(file, Buffer.concat(sids.map((sid) => cookieHash(sid))));
  return file;
}

async function burst(name: string, redis: Redis, pid: number): Promise<void> {
  const sha1 = String(await redis.script('LOAD', BURST));
  const last = `burst-${turns++}`;
  const startedMs = processorMs(pid);
  const args = [pinnedMap('sessions'), hashesOf([last]), sha1, FEED, String(ENTRIES), String(SESSIONS), last];
  const [seconds = Number.NaN] = await client(['burst', ...args], true);
  note(`${name}feed: entries/s`, ENTRIES / seconds);
  note(`${name}feed: ns of the daemon's CPU an entry`, (1e6 * (processorMs(pid) - startedMs)) / ENTRIES);
  // All of them were read: what is trimmed now is missed by nobody.
  await redis.xtrim(FEED, 'MAXLEN', 1000);
}

/** @param job of the client: who follows the feed */
async function writes(name: string, job: readonly string[], redis: Redis): Promise<void> {
  const prefix = `visible-${turns++}-`;
  const ids = Array.from({ length: WRITES }, (_, i) => `${prefix}${i}`);
  const rate = String(WRITES_PER_SECOND);
  const took = await client([...job, hashesOf(ids), prefix, FEED, rate], true);
  ['p50', 'p99', 'p99.9', 'max'].forEach((what, i) => {
    note(`${name}write to visible, ${WRITES_PER_SECOND}/s: ${what}, us`, took[i] ?? Number.NaN);
  });
  for (let first = 0; first < WRITES; first += FILL_STEP) {
    await redis.unlink(ids.slice(first, first + FILL_STEP).map((sid) => `sess:${sid}`));
  }
}

let turns = 0;

async function run(): Promise<void> {
  await stage.startRedis();
  const { redis: server } = stage;
  if (server?.pid === undefined) throw new Error('Redis has no process');
  const redis = new Redis({ path: stage.redisSocket, protocol: 2, retryStrategy: null });
  try {
    pinTo(REDIS_CPU, Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]));
    stage.writeKeys([randomKey(1)]);
    const functions = new Functions(redis, { names: 'gateway:', sessionPrefix: 'sess:', feed: FEED });
    for (let id = 1; id <= 8; id++) await functions.backendPatch(`web-${id}`, { id, address: `10.0.0.${id}:8080` });
    for (let first = 1; first <= SESSIONS; first += FILL_STEP) {
      const last = Math.min(first + FILL_STEP - 1, SESSIONS);
      await redis.eval(FILL, 0, first, last, Date.now() + 36_000_000);
    }
    const contenders: Contender[] = [{ name: '', command: OWN }];
    if (values.beside !== undefined) contenders.push({ name: 'beside: ', command: fs.realpathSync(values.beside) });
    for (let i = 0; i < TURNS; i++) {
      await readByClients(redis);
      for (const contender of contenders) await turn(contender, redis);
    }
  } finally {
    redis.disconnect();
  }
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

execFileSync('make', ['-s', '-C', fileURLToPath(new URL('.', import.meta.url))], { stdio: 'inherit' });
const stage = new Stage({
  name: `feed${process.pid % 100_000}`,
  capacity: Math.ceil(SESSIONS * 1.1) + 2 * WRITES,
  readyTimeoutMs: WAIT_MS,
});
try {
  await run();
} finally {
  await stage.close();
}
console.log(`${SESSIONS} sessions, bursts of ${ENTRIES} entries, medians of ${TURNS} turns (least to most)`);
console.log(
  `${cpus()[0]?.model ?? 'unknown processor'}, Node.js ${process.version}, load average ${loadavg()[0]?.toFixed(1)}\n`,
);
const width = Math.max(...[...figures.keys()].map((what) => what.length));
const shown = (value: number): string => Math.round(value).toLocaleString('en').padStart(10);
for (const [what, numbers] of figures) {
  console.log(
    `${what.padEnd(width)}  ${shown(median(numbers))}  (${[Math.min(...numbers), Math.max(...numbers)]
      .map(shown)
      .map((text) => text.trim())
      .join(' to ')})`,
  );
}
