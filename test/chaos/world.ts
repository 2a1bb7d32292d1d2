/**
 * All that a run has: two hosts, a Redis and what lies before it, the gateway, the load, and what faults do to them.
 */
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { Key } from '../../src/auth/keyring.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { Status } from '../../src/gateway/ports.ts';
import { installLibrary } from '../../src/sync/redis/functions.ts';
import { compareStreamIds, parseStreamId } from '../../src/sync/versions.ts';
import { FaultyProxy } from './faulty-proxy.ts';
import { Lookups } from './lookups.ts';
import { backends, changing, FIRST_TTL_MS, NAMES, permanent } from './population.ts';
import { Random } from './random.ts';
import { Recovery } from './recovery.ts';
import { RedisServers, redisClient } from './redis-servers.ts';
import { until, WAIT_MAX_MS } from './until.ts';
import { Writer } from './writer.ts';

const REDIS_PORT = 6379;
const STATUS_TIMEOUT_MS = 2_000;
export const CAPACITY = 20_000;

export type From = 'stream' | 'notifications';

export interface WorldOptions {
  readonly seed: number;
  readonly from: From;
  /** Tells this run from others on the machine. */
  readonly name: string;
  /** Ends every wait. */
  readonly signal: AbortSignal;
}

/** Ids in the feed. */
export interface FeedEnd {
  /** Of the newest entry that is there. */
  readonly newest: string;
  /** The highest that was ever given: higher where the newest was deleted, or the id set by hand. */
  readonly last: string;
}

function isAt(position: string | null, { newest, last }: FeedEnd): boolean {
  if (position === null) return false;
  const at = parseStreamId(position);
  return compareStreamIds(at, parseStreamId(newest)) >= 0 && compareStreamIds(at, parseStreamId(last)) <= 0;
}

export class World {
  readonly stage: Stage;
  readonly recovery = new Recovery(() => performance.now());
  readonly servers: RedisServers;
  readonly proxy: FaultyProxy;
  readonly #options: WorldOptions;
  readonly #firstKey = randomKey(1);
  #lastKeyId = 1;
  #key: Key;
  #redis: Redis | undefined;
  #writer: Writer | undefined;
  #lookups: Lookups | undefined;
  #note: string | null = null;
  capacity = CAPACITY;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.stage = new Stage({
      name: options.name,
      capacity: this.capacity,
      feed: { from: options.from },
      readyTimeoutMs: WAIT_MAX_MS,
    });
    const { network, directory } = this.stage;
    this.#key = this.writeKeys(0);
    const notify = options.from === 'notifications' ? ['--notify-keyspace-events', 'KA'] : [];
    this.servers = new RedisServers(network, directory, notify);
    this.proxy = new FaultyProxy(
      // Without a host name, so that it is bound before this returns.
      (server) => network.onGatewayHost(() => server.listen(REDIS_PORT)),
      () => this.servers.socket,
    );
  }

  get from(): From {
    return this.#options.from;
  }

  /** Starts everything, and resolves when the load runs. */
  async open(): Promise<void> {
    await this.servers.start('nothing');
    this.#redis = redisClient(this.servers.socket);
    await this.populate();
    await this.stage.startGateway();
    this.#writer = new Writer(this.servers.socket, Random.of(this.#options.seed, -2));
    this.#lookups = new Lookups(this.#key, this.stage.port, Random.of(this.#options.seed, -3));
    this.writer.start();
    this.lookups.start();
  }

  /** Ends what runs and leaves nothing behind, whatever fails on the way. */
  async close(): Promise<void> {
    const ends: (() => unknown)[] = [
      () => this.#lookups?.stop(),
      () => this.#writer?.close(),
      () => this.#redis?.disconnect(),
      () => this.proxy.close(),
      () => this.servers.close(),
      () => this.stage.gateway?.kill('SIGCONT'),
      () => this.stage.close(),
    ];
    const failures: unknown[] = [];
    for (const end of ends) {
      try {
        await end();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0)
      throw new AggregateError(failures, `not all of ${this.#options.name} could be cleared away`);
  }

  /** @throws Error naming `what` where it doesn't come to hold in time, or because the run is to end */
  until(what: string, holds: () => Promise<boolean>): Promise<void> {
    return until(what, holds, this.#options.signal);
  }

  /** A connection of ours to the Redis in service, which waits while that is away. */
  get redis(): Redis {
    return started(this.#redis);
  }

  get writer(): Writer {
    return started(this.#writer);
  }

  get lookups(): Lookups {
    return started(this.#lookups);
  }

  /** After a fail-over: everybody who isn't the gateway finds the new master; the gateway's connections are cut. */
  followMaster(): void {
    this.redis.disconnect();
    this.#redis = redisClient(this.servers.socket);
    this.writer.redirect(this.servers.socket);
    this.proxy.cut();
  }

  /** Functions, backends and sessions, as at the beginning. */
  async populate(): Promise<void> {
    await this.installFunctions();
    for (const { name, id, addresses } of backends) {
      const patch = JSON.stringify({ id, address: addresses[0] });
      await this.redis.fcall('backend_patch', 2, NAMES.backends, NAMES.feed, name, patch);
    }
    const pipeline = this.redis.pipeline();
    for (const { sid, on } of [...permanent, ...changing])
      pipeline.fcall('session_set', 2, NAMES.prefix + sid, NAMES.feed, sid, on[0]?.name ?? '', FIRST_TTL_MS);
    await pipeline.exec();
  }

  async installFunctions(): Promise<void> {
    await installLibrary(this.redis);
  }

  /** A key file with the clients' key and so many others, all new. @returns the clients' key */
  writeKeys(others: number): Key {
    const extra = Array.from({ length: others }, () => {
      this.#lastKeyId += 1;
      return randomKey(this.#lastKeyId);
    });
    const [key] = this.stage.writeKeys([this.#firstKey, ...extra]);
    if (key === undefined) throw new Error('no key was made');
    return key;
  }

  /** The daemon's own account; undefined while none answers. */
  async status(): Promise<Status | undefined> {
    try {
      const socket = join(this.stage.directory, 'gateway.sock');
      return (await askDaemon(socket, { method: 'GET', path: '/v1/status' }, STATUS_TIMEOUT_MS)) as Status;
    } catch {
      return undefined;
    }
  }

  /** More about the fault under way than its name says. */
  note(words: string): void {
    this.#note = words;
  }

  takeNote(): string | null {
    const note = this.#note;
    this.#note = null;
    return note;
  }

  /**
   * Whether the daemon says that it is in step, as of a moment after `sinceMs` (performance.now).
   * @param end of the feed, where it is to be; absent = anywhere
   */
  async isInStep(sinceMs: number, end?: FeedEnd): Promise<boolean> {
    const askedMs = performance.now();
    const status = await this.status();
    if (status === undefined || !status.ready || status.ageMs === null) return false;
    if (end !== undefined && this.from === 'stream' && !isAt(status.sync.position, end)) return false;
    return status.sync.state === 'following' && askedMs - status.ageMs > sinceMs;
  }

  async feedEnd(): Promise<FeedEnd> {
    try {
      const info = (await this.redis.xinfo('STREAM', NAMES.feed)) as unknown[];
      const last = String(info[info.indexOf('last-generated-id') + 1]);
      const newest = (await this.redis.xrevrange(NAMES.feed, '+', '-', 'COUNT', 1))[0]?.[0];
      return { newest: newest ?? '0-0', last };
    } catch (error) {
      if (String(error).includes('no such key')) return { newest: '0-0', last: '0-0' };
      throw error;
    }
  }
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('the world has not been opened');
  return part;
}
