/**
 * A real redis-server on a TCP port of loopback, in a directory of its own: a master, a replica, a sentinel or a node of
 * a cluster.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { ConnectionOptions } from '../../src/sync/redis/redis-options.ts';
import { RedisProcess } from './redis-process.ts';

/** A server that is paused must not hold up a test. */
const COMMAND_TIMEOUT_MS = 3000;
const FREE_PORT_TRIES = 100;
/** The bus of a cluster listens 10,000 above. */
const BUS_OFFSET = 10_000;

export interface NodeOptions {
  readonly port: number;
  /** Lines of its configuration file. */
  readonly settings?: readonly string[];
  readonly sentinel?: boolean;
  /** How the tests' own client connects, where it isn't the plain way. */
  readonly login?: ConnectionOptions | (() => ConnectionOptions);
}

export class RedisNode {
  readonly port: number;
  readonly directory: string;
  readonly #options: NodeOptions;
  readonly #process = new RedisProcess();
  readonly #clients = new Set<Redis>();

  private constructor(options: NodeOptions) {
    this.port = options.port;
    this.#options = options;
    this.directory = mkdtempSync(join(tmpdir(), 'session-gateway-node-'));
    const own = [`port ${options.port}`, 'bind 127.0.0.1', `dir ${this.directory}`, 'protected-mode no'];
    const data = options.sentinel ? [] : ['save ""', 'appendonly no', 'repl-diskless-sync-delay 0'];
    // Later lines replace earlier ones.
    writeFileSync(this.#configuration, [...own, ...data, ...(options.settings ?? []), ''].join('\n'));
  }

  static async start(options: NodeOptions): Promise<RedisNode> {
    const node = new RedisNode(options);
    await node.launch();
    return node;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get #configuration(): string {
    return join(this.directory, 'redis.conf');
  }

  /** Starts the process, again where it was killed. */
  async launch(): Promise<void> {
    const log = join(this.directory, 'redis.log');
    const mode = this.#options.sentinel ? ['--sentinel'] : [];
    try {
      await this.#process.launch([this.#configuration, '--logfile', log, ...mode], () => this.#answers());
    } catch (error) {
      throw new Error(readFileSync(log, 'utf8'), { cause: error });
    }
  }

  async #answers(): Promise<boolean> {
    const probe = this.#new();
    try {
      await probe.connect();
      await probe.ping();
      return true;
    } catch (error) {
      return /NOAUTH|NOPERM/.test(String(error));
    } finally {
      probe.disconnect();
    }
  }

  #new(): Redis {
    const { login } = this.#options;
    const redis = new Redis({
      host: '127.0.0.1',
      port: this.port,
      protocol: 2,
      lazyConnect: true,
      enableReadyCheck: false,
      retryStrategy: () => null,
      commandTimeout: COMMAND_TIMEOUT_MS,
      ...(typeof login === 'function' ? login() : login),
    });
    redis.on('error', () => undefined);
    return redis;
  }

  /** A client of the tests' own, made anew where it was cut; closed by `stop`. */
  client(): Redis {
    for (const client of this.#clients) {
      if (client.status !== 'end') return client;
      this.#clients.delete(client);
    }
    const client = this.#new();
    this.#clients.add(client);
    return client;
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

/** Ports on which nobody listens now, nor 10,000 above. @param from the first that is tried */
export async function freePorts(number: number, from: number): Promise<number[]> {
  const free: number[] = [];
  for (let port = from; port < from + FREE_PORT_TRIES && free.length < number; port++) {
    if ((await isFree(port)) && (await isFree(port + BUS_OFFSET))) free.push(port);
  }
  if (free.length < number) throw new Error(`found ${free.length} free ports from ${from}, needed: ${number}`);
  return free;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
