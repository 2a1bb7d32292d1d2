/**
 * The servers that are compared with the gateway, each a process bound to a CPU, in the thread's namespace. What a machine lacks is
 * named, with what installs it. May be imported by bench only.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { storedValue } from './sets.ts';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
export const BENCH_SERVER = fileURLToPath(new URL('../../build/bench-server', import.meta.url));
export const BENCH_CLIENT = fileURLToPath(new URL('../../build/bench-client', import.meta.url));
const MODEL = fileURLToPath(new URL('../userspace/model-server.ts', import.meta.url));
const BENCH = fileURLToPath(new URL('..', import.meta.url));

/** What is missing for a contender, and how to get it; undefined = nothing. */
export function missing(what: 'openssl' | 'redis' | 'memcached'): string | undefined {
  const [path, install] = {
    openssl: ['/usr/include/openssl/sha.h', 'libssl-dev'],
    redis: ['/usr/bin/redis-server', 'redis-server'],
    memcached: ['/usr/bin/memcached', 'memcached'],
  }[what] as [string, string];
  return fs.existsSync(path) ? undefined : `${path} is missing: apt-get install --no-install-recommends ${install}`;
}

/** Compiles the server and the client in C; they need OpenSSL's headers. */
export function buildNative(): void {
  execFileSync('make', ['--silent', '-C', BENCH, 'native'], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Ended with this process, however it ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Server {
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#process = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Bytes that are resident. */
  get residentBytes(): number {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
  }

  /** @param isReady asked until it is true; gets what the process has printed */
  static async start(
    cpu: number,
    command: string,
    args: readonly string[],
    isReady: (printed: string) => boolean | Promise<boolean>,
  ): Promise<Server> {
    const child = spawn('taskset', ['-c', String(cpu), command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    child.stdout?.on('data', (bytes) => {
      if (printed.length < 1_000) printed += bytes;
    });
    const server = new Server(child);
    const endMs = performance.now() + START_TIMEOUT_MS;
    while (!(await isReady(printed))) {
      if (child.exitCode !== null || performance.now() > endMs) {
        await server.stop();
        throw new Error(`${command} did not start (exit status ${child.exitCode})`);
      }
      await sleep(20);
    }
    return server;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }
}

const saidReady = (printed: string): boolean => printed.includes('ready');

export function startUserSpace(cpu: number, state: string, address: string, port: number): Promise<Server> {
  return Server.start(cpu, BENCH_SERVER, [state, 'serve', address, String(port), '1', String(cpu)], saidReady);
}

export function startModel(cpu: number, state: string, address: string, port: number): Promise<Server> {
  return Server.start(cpu, process.execPath, [MODEL, state, address, String(port)], saidReady);
}

export function startRedis(cpu: number, folder: string, address: string, port: number): Promise<Server> {
  const args = [
    '--port',
    String(port),
    '--bind',
    address,
    '--save',
    '',
    '--appendonly',
    'no',
    '--protected-mode',
    'no',
  ];
  return Server.start(cpu, 'redis-server', [...args, '--dir', folder, '--logfile', join(folder, 'redis.log')], () =>
    takes(address, port),
  );
}

/** One thread, as there is one CPU for it. */
export function startMemcached(cpu: number, megabytes: number, address: string, port: number): Promise<Server> {
  const args = [
    '-u',
    'root',
    '-t',
    '1',
    '-m',
    String(megabytes),
    '-l',
    address,
    '-p',
    String(port),
    '-U',
    String(port),
  ];
  return Server.start(cpu, 'memcached', args, () => takes(address, port));
}

async function takes(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Stores every session; `commands` gives what to send for one, and what is asked at last, whose answer begins with `answer`. */
async function fill(
  host: string,
  port: number,
  sessions: number,
  commands: {
    readonly first: string;
    readonly one: (i: number) => string;
    readonly last: string;
    readonly answer: string;
  },
): Promise<void> {
  const socket = connect(port, host);
  await once(socket, 'connect');
  socket.write(commands.first);
  const PER_WRITE = 1_000;
  for (let i = 0; i < sessions; i += PER_WRITE) {
    const some = Array.from({ length: Math.min(PER_WRITE, sessions - i) }, (_, j) => commands.one(i + j)).join('');
    if (!socket.write(some)) await once(socket, 'drain');
  }
  socket.write(commands.last);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  if (!answer.toString().startsWith(commands.answer)) throw new Error(`filling port ${port}: found ${answer}`);
}

export function fillRedis(host: string, port: number, sessions: number): Promise<void> {
  const one = (i: number): string => {
    const [name, value] = [`sess:session-${i}`, storedValue(i)];
    return `*3\r\n$3\r\nSET\r\n$${name.length}\r\n${name}\r\n$${value.length}\r\n${value}\r\n`;
  };
  return fill(host, port, sessions, { first: 'CLIENT REPLY OFF\r\n', one, last: 'CLIENT REPLY ON\r\n', answer: '+OK' });
}

export function fillMemcached(host: string, port: number, sessions: number): Promise<void> {
  const one = (i: number): string => {
    const value = storedValue(i);
    return `set session-${i} 0 0 ${value.length} noreply\r\n${value}\r\n`;
  };
  return fill(host, port, sessions, { first: '', one, last: 'version\r\n', answer: 'VERSION' });
}

/** Bytes that Redis says it uses for its data. */
export async function redisUsedBytes(host: string, port: number): Promise<number> {
  const socket = connect(port, host);
  await once(socket, 'connect');
  socket.write('INFO memory\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return Number(/^used_memory:(\d+)/m.exec(answer.toString())?.[1]);
}
