/**
 * Two places for a Redis on the gateway's host, one of which is in service; the other is there to fail over to.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { TwoHosts } from '../../src/gateway/demo/network.ts';
import { RedisServer } from '../../src/gateway/demo/redis-server.ts';
import { until } from './until.ts';

/** What a server finds when it starts. */
export type Data =
  | 'nothing'
  /** Its own append-only file, complete but for what a kill left unwritten. */
  | 'log'
  /** The last backup that was taken. */
  | 'backup';

const PORTS = [25_001, 25_002] as const;
/** A dead server's command is tried again this often, each time after RETRY_MS, before it fails. */
const RETRIES = 150;
const RETRY_MS = 100;

/** A client of our own that outlives short absences of its server. */
export function redisClient(path: string): Redis {
  const redis = new Redis({ path, protocol: 2, maxRetriesPerRequest: RETRIES, retryStrategy: () => RETRY_MS });
  redis.on('error', () => undefined);
  return redis;
}

class Place {
  readonly directory: string;
  readonly port: number;
  server: RedisServer | undefined;

  constructor(directory: string, port: number) {
    this.directory = directory;
    this.port = port;
    fs.mkdirSync(directory);
  }

  get socket(): string {
    return join(this.directory, 'redis.sock');
  }
}

export class RedisServers {
  readonly #network: TwoHosts;
  readonly #extra: readonly string[];
  readonly #backup: string;
  readonly #places: readonly [Place, Place];
  #inService: 0 | 1 = 0;

  /** @param extra command-line arguments of every server */
  constructor(network: TwoHosts, directory: string, extra: readonly string[]) {
    this.#network = network;
    this.#extra = extra;
    this.#backup = join(directory, 'backup.rdb');
    this.#places = [new Place(join(directory, 'redis-a'), PORTS[0]), new Place(join(directory, 'redis-b'), PORTS[1])];
  }

  /** Unix socket of the one in service. */
  get socket(): string {
    return this.#current.socket;
  }

  get #current(): Place {
    return this.#places[this.#inService];
  }

  get #other(): Place {
    return this.#places[1 - this.#inService] as Place;
  }

  start(data: Data): Promise<void> {
    return this.#start(this.#current, data);
  }

  async #start(place: Place, data: Data): Promise<void> {
    const { directory, port } = place;
    if (data !== 'log') {
      fs.rmSync(join(directory, 'appendonlydir'), { recursive: true, force: true });
      fs.rmSync(join(directory, 'dump.rdb'), { force: true });
    }
    if (data === 'backup') fs.copyFileSync(this.#backup, join(directory, 'dump.rdb'));
    const appendOnly = ['--appendonly', data === 'backup' ? 'no' : 'yes', '--repl-diskless-sync-delay', '0'];
    place.server = await RedisServer.start(
      (command, args) => this.#network.spawn(command, args, { stdio: 'ignore' }),
      directory,
      port,
      [...appendOnly, ...this.#extra],
    );
    // With an append-only file a snapshot isn't looked at: it is begun only when the snapshot is in.
    if (data === 'backup') await this.#beginLog(place);
  }

  async #beginLog(place: Place): Promise<void> {
    await this.#with(place, async (redis) => {
      await redis.config('SET', 'appendonly', 'yes');
      await until('the append-only file is written', async () => {
        const info = await redis.info('persistence');
        return info.includes('aof_rewrite_in_progress:0') && info.includes('aof_rewrite_scheduled:0');
      });
    });
  }

  async #with<T>(place: Place, action: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = redisClient(place.socket);
    try {
      return await action(redis);
    } finally {
      redis.disconnect();
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    const pid = this.#current.server?.pid;
    if (pid !== undefined) process.kill(pid, signal);
  }

  kill(): Promise<void> {
    return this.#kill(this.#current);
  }

  async #kill(place: Place): Promise<void> {
    const { server } = place;
    place.server = undefined;
    if (server?.pid === undefined) return;
    try {
      process.kill(server.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    await server.stop();
  }

  async takeBackup(): Promise<void> {
    await this.#with(this.#current, (redis) => redis.save());
    fs.copyFileSync(join(this.#current.directory, 'dump.rdb'), this.#backup);
  }

  /**
   * Makes a copy of the one in service by replication, promotes it, and lets the two go on apart for a moment: what the old one
   * takes meanwhile is lost with it.
   */
  async failOver(apartMs: number): Promise<void> {
    const [from, to] = [this.#current, this.#other];
    await this.#start(to, 'nothing');
    await this.#with(to, async (redis) => {
      await redis.replicaof('127.0.0.1', from.port);
      await until('the replica has what its master has', async () =>
        (await redis.info('replication')).includes('master_link_status:up'),
      );
      await redis.replicaof('NO', 'ONE');
    });
    await sleep(apartMs);
    this.#inService = this.#inService === 0 ? 1 : 0;
    await this.#kill(from);
  }

  async close(): Promise<void> {
    for (const place of this.#places) await this.#kill(place);
  }
}
