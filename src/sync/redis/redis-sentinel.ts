/**
 * The target where sentinels watch a master: each connection goes to the master that they name, which must say itself
 * that it is one, and is dropped once they name another. May be imported by src/sync/redis/redis-target.ts only.
 *
 * Sentinels cut the clients of a master that they make a replica. What they can't cut is a master that they don't reach
 * any more and that goes on answering: therefore they are asked again every second while there are connections.
 */

import { SyncError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Connection } from './connection.ts';
import { ALL_SLOTS } from './hash-slot.ts';
import { openMasterNode } from './master-role.ts';
import {
  type ConnectionOptions,
  type HostPort,
  nodeId,
  nodeOptions,
  type RedisSentinelConfig,
} from './redis-options.ts';
import type { RedisMaster, RedisTarget } from './redis-target.ts';
import { Sentinels } from './sentinels.ts';

const WATCH_EVERY_MS = 1000;

export class SentinelTarget implements RedisTarget {
  readonly #config: RedisSentinelConfig;
  readonly #runtime: Runtime;
  readonly #sentinels: Sentinels;
  /** To the server that each goes to. Whoever opens one ends it, so there are no more than its owners have. */
  readonly #open = new Map<Connection, string>();
  /** Ends the watch; undefined while there is none. */
  #endWatch: (() => void) | undefined;

  constructor(config: RedisSentinelConfig, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#sentinels = new Sentinels(config, runtime);
  }

  async master(clientName: string, signal: AbortSignal): Promise<ConnectionOptions> {
    const node = await this.#ask(signal);
    // A connection that is made with these options isn't watched: at least it leads to a master now.
    (await this.#openNode(node, clientName, signal)).drop();
    return nodeOptions(node, this.#config, clientName);
  }

  async openMaster(clientName: string, signal: AbortSignal): Promise<Connection> {
    return this.#openNode(await this.#ask(signal), clientName, signal);
  }

  async masters(signal: AbortSignal): Promise<readonly RedisMaster[]> {
    const node = await this.#ask(signal);
    return [
      {
        id: nodeId(node),
        slots: ALL_SLOTS,
        options: (clientName) => nodeOptions(node, this.#config, clientName),
        open: (clientName, openSignal) => this.#openNode(node, clientName, openSignal),
      },
    ];
  }

  async #ask(signal: AbortSignal): Promise<HostPort> {
    const release = this.#sentinels.hold();
    try {
      return await this.#sentinels.master(signal);
    } finally {
      release();
    }
  }

  async #openNode(node: HostPort, clientName: string, signal: AbortSignal): Promise<Connection> {
    const id = nodeId(node);
    const connection = await openMasterNode(nodeOptions(node, this.#config, clientName), id, this.#runtime, signal);
    this.#open.set(connection, id);
    connection.onEnd(() => {
      this.#open.delete(connection);
      if (this.#open.size === 0) this.#endWatch?.();
    });
    if (this.#open.size > 0) this.#watch();
    return connection;
  }

  /** Asks again and again until no connection is open any more. */
  #watch(): void {
    if (this.#endWatch !== undefined) return;
    const release = this.#sentinels.hold();
    const over = new AbortController();
    let cancel: () => void = () => undefined;
    const ask = async (): Promise<void> => {
      // Where no sentinel answers, the master that is known is the best there is.
      const node = await this.#sentinels.master(over.signal).catch(() => null);
      if (over.signal.aborted) return;
      if (node !== null) this.#dropOthers(nodeId(node));
      cancel = this.#runtime.timer(WATCH_EVERY_MS, ask);
    };
    cancel = this.#runtime.timer(WATCH_EVERY_MS, ask);
    this.#endWatch = () => {
      this.#endWatch = undefined;
      cancel();
      over.abort();
      release();
    };
  }

  #dropOthers(master: string): void {
    for (const [connection, id] of this.#open) {
      if (id !== master)
        connection.drop(new SyncError('REDIS_CLOSED', `${id} is not the master any more: ${master} is`));
    }
  }
}
