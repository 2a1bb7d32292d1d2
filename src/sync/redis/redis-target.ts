/**
 * Where connections to Redis go: to one server, to the master that sentinels name, or to the masters of a cluster.
 * May be imported by every floor above.
 */

import type { Runtime } from '../runtime.ts';
import { Connection } from './connection.ts';
import { ALL_SLOTS, type SlotRange } from './hash-slot.ts';
import { ClusterTarget } from './redis-cluster.ts';
import { type ConnectionOptions, type RedisConfig, type RedisUrlConfig, redisOptions } from './redis-options.ts';
import { SentinelTarget } from './redis-sentinel.ts';

/** Asked anew before each connection, since a failover changes the answer. */
export interface RedisTarget {
  /**
   * Options for a connection to the master that takes writes now.
   * @throws SyncError NO_MASTER where nobody names one, or where this is a cluster, which has several
   */
  master(clientName: string, signal: AbortSignal): Promise<ConnectionOptions>;
  /**
   * Opens a connection to that master. It is dropped, with what is under way on it, once the server is found to be
   * the master no more.
   * @throws SyncError as `master`, and as Connection.open
   */
  openMaster(clientName: string, signal: AbortSignal): Promise<Connection>;
  /**
   * Every master that owns slots; outside a cluster the one master. Always asks.
   * @throws SyncError as `master`
   */
  masters(signal: AbortSignal): Promise<readonly RedisMaster[]>;
}

export interface RedisMaster {
  /** `host:port`, or the path of a socket */
  readonly id: string;
  /** In ascending order; all of them outside a cluster. */
  readonly slots: readonly SlotRange[];
  options(clientName: string): ConnectionOptions;
  /** As RedisTarget.openMaster, to this one. */
  open(clientName: string, signal: AbortSignal): Promise<Connection>;
}

/** @throws TypeError, RangeError where the configuration is impossible */
export function redisTarget(config: RedisConfig, runtime: Runtime): RedisTarget {
  if ('url' in config) return new UrlTarget(config, runtime);
  if ('sentinel' in config) return new SentinelTarget(config, runtime);
  return new ClusterTarget(config, runtime);
}

/** One server, whatever its role: a URL may well lead to a replica that is to be read. */
class UrlTarget implements RedisTarget {
  readonly #config: RedisUrlConfig;
  readonly #runtime: Runtime;
  readonly #id: string;

  constructor(config: RedisUrlConfig, runtime: Runtime) {
    const { path, host, port } = redisOptions(config, 'session-gateway');
    this.#config = config;
    this.#runtime = runtime;
    this.#id = path ?? `${host}:${port}`;
  }

  async master(clientName: string): Promise<ConnectionOptions> {
    return redisOptions(this.#config, clientName);
  }

  openMaster(clientName: string, signal: AbortSignal): Promise<Connection> {
    return Connection.open(redisOptions(this.#config, clientName), this.#runtime, signal);
  }

  async masters(): Promise<readonly RedisMaster[]> {
    return [
      {
        id: this.#id,
        slots: ALL_SLOTS,
        options: (clientName) => redisOptions(this.#config, clientName),
        open: (clientName, signal) => this.openMaster(clientName, signal),
      },
    ];
  }
}
