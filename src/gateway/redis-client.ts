/**
 * The connection that commands and the control API use: opened when it is first needed and again after it was cut, to the
 * master, or to a cluster, where commands go to the owners of their keys. May be imported by src/gateway only.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { SyncError, withoutCommand } from '../sync/errors.ts';
import { type InstallResult, installLibrary } from '../sync/redis/functions.ts';
import {
  CONNECT_TIMEOUT_MS,
  nodeOptions,
  type RedisClusterConfig,
  type RedisConfig,
} from '../sync/redis/redis-options.ts';
import { type RedisTarget, redisTarget } from '../sync/redis/redis-target.ts';
import { systemRuntime } from '../sync/runtime.ts';
import { reasonOf } from './errors.ts';

const CLIENT_NAME = 'session-gateway-directory';
/** How often a command is sent to another node of a cluster, or to the same one while a slot moves, before it fails. */
const REDIRECTIONS_MAX = 8;

export class RedisClient {
  readonly #access: RedisConfig;
  readonly #target: RedisTarget;
  readonly #stopping = new AbortController();
  #client: Redis | Cluster | undefined;
  #opening: Promise<Redis | Cluster> | undefined;

  /** @throws TypeError, RangeError where the configuration is impossible */
  constructor(access: RedisConfig) {
    this.#access = access;
    this.#target = redisTarget(access, systemRuntime);
  }

  get isCluster(): boolean {
    return 'cluster' in this.#access;
  }

  /** @throws SyncError REDIS_CONNECT, NO_MASTER */
  connected(): Promise<Redis | Cluster> {
    if (this.#client?.status === 'ready') return Promise.resolve(this.#client);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Ends the connection; the next call makes another. */
  drop(): void {
    this.#client?.disconnect();
    this.#client = undefined;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#opening?.catch(() => undefined);
    this.drop();
  }

  async #open(): Promise<Redis | Cluster> {
    this.drop();
    const client = 'cluster' in this.#access ? newCluster(this.#access) : await this.#newRedis();
    let reason: Error | undefined;
    client.on('error', (error: Error) => {
      reason ??= error;
    });
    try {
      await client.connect();
      // A refused password and a database that doesn't exist come as events only.
      if (reason !== undefined) throw reason;
      this.#client = client;
      return client;
    } catch (error) {
      client.disconnect();
      const cause = withoutCommand(reason ?? error);
      throw new SyncError('REDIS_CONNECT', connectReason(cause), { cause });
    }
  }

  async #newRedis(): Promise<Redis> {
    const options = await this.#target.master(CLIENT_NAME, this.#stopping.signal);
    return new Redis({ ...options, commandTimeout: CONNECT_TIMEOUT_MS });
  }
}

function newCluster(access: RedisClusterConfig): Cluster {
  const { nodes } = access.cluster;
  const [first] = nodes;
  if (first === undefined) throw new RangeError('redis.cluster.nodes: found none, allowed: at least one');
  const { replyMapping: _none, ...options }: RedisOptions = nodeOptions(first, access, CLIENT_NAME);
  return new Cluster([...nodes], {
    lazyConnect: true,
    clusterRetryStrategy: null,
    maxRedirections: REDIRECTIONS_MAX,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    // Names are resolved by the connection itself, which so keeps what the certificate must have.
    dnsLookup: (address, callback) => callback(null, address),
    redisOptions: { ...options, commandTimeout: CONNECT_TIMEOUT_MS },
  });
}

/** Of a cluster, the error has what its last node said. */
function connectReason(error: unknown): string {
  const last = error instanceof Error && 'lastNodeError' in error ? error.lastNodeError : undefined;
  return last instanceof Error ? `${reasonOf(error)} ${reasonOf(last)}` : reasonOf(error);
}

/** Loads the function library; in a cluster into every master, since a cluster doesn't pass it on. */
export async function installEverywhere(client: Redis | Cluster): Promise<InstallResult> {
  if (!(client instanceof Cluster)) return installLibrary(client);
  const results = await Promise.all(client.nodes('master').map((node) => installLibrary(node)));
  const order: readonly InstallResult[] = ['installed', 'upgraded', 'newer', 'current'];
  return order.find((result) => results.includes(result)) ?? 'current';
}
