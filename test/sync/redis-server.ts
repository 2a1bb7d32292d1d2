/**
 * A real redis-server for one test file: on a unix socket in a directory of its own, without persistence unless it is
 * asked to save, ended by its pid, also when the test process exits without doing so.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

const START_TRIES = 200;
const START_STEP_MS = 25;

export class RedisServer {
  readonly directory: string;
  readonly socket: string;
  readonly #arguments: readonly string[];
  #process: ChildProcess | undefined;
  readonly #clients = new Set<Redis>();
  readonly #onExit = (): void => this.#killNow();

  private constructor(extraArguments: readonly string[]) {
    this.directory = mkdtempSync(join(tmpdir(), 'session-gateway-redis-'));
    this.socket = join(this.directory, 'redis.sock');
    this.#arguments = extraArguments;
    process.on('exit', this.#onExit);
  }

  /** @param extraArguments as on redis-server's command line, e.g. ['--requirepass', 'x'] */
  static async start(...extraArguments: string[]): Promise<RedisServer> {
    const server = new RedisServer(extraArguments);
    await server.launch();
    return server;
  }

  get url(): string {
    return `unix://${this.socket}`;
  }

  /** Starts the process, again where it was killed, with the data that was saved. */
  async launch(): Promise<void> {
    const settings = ['--port', '0', '--unixsocket', this.socket, '--dir', this.directory, '--save', ''];
    this.#process = spawn('redis-server', [...settings, '--appendonly', 'no', ...this.#arguments], { stdio: 'ignore' });
    for (let i = 0; i < START_TRIES; i++) {
      if (await this.#answers()) return;
      if (this.#process.exitCode !== null) throw new Error(`redis-server ended with code ${this.#process.exitCode}`);
      await delay(START_STEP_MS);
    }
    throw new Error('redis-server does not answer');
  }

  async #answers(): Promise<boolean> {
    const probe = new Redis({
      path: this.socket,
      lazyConnect: true,
      retryStrategy: () => null,
      enableReadyCheck: false,
    });
    probe.on('error', () => undefined);
    try {
      await probe.connect();
      await probe.ping();
      return true;
    } catch (error) {
      return String(error).includes('NOAUTH');
    } finally {
      probe.disconnect();
    }
  }

  /** A client of the tests' own; closed by `stop`. */
  client(options: { password?: string; protocol?: 2 | 3 } = {}): Redis {
    const redis = new Redis({ path: this.socket, protocol: 2, ...options });
    redis.on('error', () => undefined);
    this.#clients.add(redis);
    return redis;
  }

  /** SIGKILL: what was not saved is lost. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  }

  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.kill();
    process.off('exit', this.#onExit);
    rmSync(this.directory, { recursive: true, force: true });
  }

  #killNow(): void {
    this.#process?.kill('SIGKILL');
  }
}
