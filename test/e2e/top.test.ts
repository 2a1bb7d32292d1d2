/** `gateway top` in a real terminal (a pseudo-terminal that script(1) makes), beside a real daemon. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { installLibrary } from '../../src/sync/redis/functions.ts';
import { until } from './until.ts';

const GATEWAY = fileURLToPath(new URL('../../bin/gateway', import.meta.url));
const FEED = 'sessions:feed';
const BOUND_MS = 60_000;
const ENTERED = '\u001b[?1049h';
const LEFT = '\u001b[?1049l';
const SHOWN_CURSOR = '\u001b[?25h';

// On a machine that is ten times slower they are still to pass.
vi.setConfig({ testTimeout: 4 * BOUND_MS, hookTimeout: 4 * BOUND_MS });

let stage: Stage;
let redis: Redis;
let client: LookupClient;

beforeAll(async () => {
  stage = new Stage({ name: `sgwtop-${process.pid}`, readyTimeoutMs: BOUND_MS });
  const [key] = stage.writeKeys([randomKey(1)]) as [Key];
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await installLibrary(redis);
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await redis.fcall('session_set', 2, 'sess:s', FEED, 's', 'app-1', 600_000);
  await stage.startGateway();
  client = createLookupClient({ servers: [{ host: GATEWAY_IPV4, port: stage.port }], key, timeoutMs: 5_000 });
});
afterAll(async () => {
  await client?.close();
  redis?.disconnect();
  await stage?.close();
});

/** A terminal in which the command runs, 80 by 24 at first. */
class Screen {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  readonly #folder = fs.mkdtempSync(join(stage.directory, 'screen-'));
  output = '';

  constructor(args: string, env: Record<string, string> = {}) {
    const command = `tty > ${this.#folder}/tty; stty rows 24 cols 80; echo $$ > ${this.#folder}/pid; exec ${GATEWAY} top -c ${stage.configFile} ${args}`;
    this.child = spawn('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', LANG: 'C.UTF-8', NODE_OPTIONS: '', ...env },
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
    });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
  }

  /** The picture that was drawn last, or is being drawn. */
  get lines(): string[] {
    const picture = this.output.split('\u001b[H').at(-1) ?? '';
    return stripVTControlCharacters(picture).split(/\r+\n/);
  }

  async shows(...patterns: RegExp[]): Promise<void> {
    const isShown = async () => patterns.every((pattern) => pattern.test(this.lines.join('\n')));
    await until(isShown, BOUND_MS).catch((error: Error) => {
      throw new Error(`${patterns.join(', ')} not in\n${this.lines.join('\n')}`, { cause: error });
    });
  }

  type(text: string): void {
    this.child.stdin?.write(text);
  }

  get pid(): number {
    return Number(fs.readFileSync(`${this.#folder}/pid`, 'utf8'));
  }

  async resize(rows: number, columns: number): Promise<void> {
    const tty = fs.readFileSync(`${this.#folder}/tty`, 'utf8').trim();
    await promisify(execFile)('stty', ['-F', tty, 'rows', String(rows), 'cols', String(columns)]);
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}

test('shows what goes on, takes keys, follows the size of the terminal, and survives the daemon', async () => {
  const screen = new Screen('--every 200ms');
  let isOver = false;
  const asking = (async () => {
    while (!isOver) expect((await client.lookup('s')).status).toBe('FOUND');
  })();
  try {
    await screen.shows(/session-gateway .* up /, /ready {2}following/, /app-1 +active/, /keys {2}1 key-1/, /q quit/);
    await screen.shows(/lookups\/s +\d[\d,]*\.?\d* .*[▁-█]/, /^hits +100\.0 %/m, /^ {2}found +\d/m);
    await until(async () => screen.lines.length === 24, BOUND_MS);

    await screen.resize(12, 40);
    await until(async () => screen.lines.length === 12 && screen.lines.every((line) => line.length <= 40), BOUND_MS);
    await screen.shows(/lookups\/s/, /app-1/);
    await screen.resize(24, 80);

    screen.type('?');
    await screen.shows(/this help/);
    screen.type('?s');
    await screen.shows(/sort: lookups/, /app-1/);

    await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"state":"draining"}');
    await screen.shows(/app-1 +draining/, /backends changed: app-1/);

    screen.type('p');
    await screen.shows(/PAUSED/, /p go on/);
    screen.type('p');

    isOver = true;
    await asking;
    await stage.stopGateway();
    await screen.shows(/DAEMON AWAY for .*the kernel goes on answering/);
    await stage.startGateway();
    await screen.shows(/ready {2}following/, /another daemon answers/);

    screen.type('q');
    expect(await screen.ended).toBe(0);
    expect(screen.output.split(ENTERED)).toHaveLength(2);
    expect(screen.output.endsWith(`${SHOWN_CURSOR}${LEFT}`)).toBe(true);
  } finally {
    isOver = true;
    screen.end();
  }
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s gives the terminal back', async (signal) => {
  const screen = new Screen('--every 200ms', { NO_COLOR: '1' });
  try {
    await screen.shows(/ready {2}following/, /backends|app-1/i);
    for (const colour of ['31', '32', '33', '36']) expect(screen.output).not.toContain(`\u001b[${colour}m`);
    process.kill(screen.pid, signal);
    expect(await screen.ended).toBe(0);
    expect(screen.output.endsWith(`${SHOWN_CURSOR}${LEFT}`)).toBe(true);
  } finally {
    screen.end();
  }
});

test('for scripts: once, in JSON, so many times', async () => {
  const once = await stage.command('top', '--once', '--every', '100ms');
  expect(once.stdout).toMatch(/^lookups\/s +0/m);
  expect(once.stdout).toMatch(/^app-1 +draining/m);
  expect(once.stdout).not.toContain('\u001b');
  const { stdout } = await stage.command('top', '--json', '--every', '100ms', '--count', '3');
  const lines = stdout.trim().split('\n');
  expect(lines).toHaveLength(3);
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ ready: true, sessions: 1, answersPerSecond: 0 });
  const refused = await stage.command('top');
  expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--once or --json') });
});

test('without a daemon: a picture fails, lines say so', async () => {
  await stage.stopGateway();
  const once = await stage.command('top', '--once');
  expect(once).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('DAEMON_NOT_RUNNING') });
  const { stdout } = await stage.command('top', '--json', '--every', '100ms', '--count', '2');
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).away),
  ).toEqual(['DAEMON_NOT_RUNNING', 'DAEMON_NOT_RUNNING']);
  const screen = new Screen('--every 200ms');
  try {
    await screen.shows(/DAEMON AWAY/);
    screen.type('\u0003');
    expect(await screen.ended).toBe(0);
  } finally {
    screen.end();
  }
});
