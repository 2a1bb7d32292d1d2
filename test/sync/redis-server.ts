/**
 * A real redis-server for one test file: on a unix socket in a directory of its own, without persistence unless it is
 * asked to save.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { RedisProcess } from './redis-process.ts';

export class RedisServer {
  readonly directory: string;
  readonly socket: string;
  readonly #arguments: readonly string[];
  readonly #process = new RedisProcess();
  readonly #clients = new Set<Redis>();

  private constructor(extraArguments: readonly string[]) {
    this.directory = mkdtempSync(join(tmpdir(), 'session-gateway-redis-'));
    this.socket = join(this.directory, 'redis.sock');
    this.#arguments = extraArguments;
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
  launch(): Promise<void> {
    const settings = ['--port', '0', '--unixsocket', this.socket, '--dir', this.directory, '--save', ''];
    const args = [...settings, '--appendonly', 'no', ...this.#arguments];
    return this.#process.launch(args, () => this.#answers());
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
  kill(): Promise<void> {
    return this.#process.kill();
  }

  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
