/**
 * The target where the sessions are in a Redis Cluster: its masters, as any node that is in order names them.
 * May be imported by src/sync/redis/redis-target.ts only.
 */

import { errorMessage, SyncError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { type ClusterSlots, parseClusterSlots, slotsWithoutOwner } from './cluster-slots.ts';
import { Connection } from './connection.ts';
import { openMasterNode } from './master-role.ts';
import {
  type ConnectionOptions,
  type HostPort,
  nodeId,
  nodeOptions,
  type RedisClusterConfig,
} from './redis-options.ts';
import type { RedisMaster, RedisTarget } from './redis-target.ts';

/** From connecting to a node to its answer, ms. */
const ANSWER_TIMEOUT_MS = 1000;
/** Nodes that are asked, one after the other, before it is given up. */
const ASKED_MAX = 20;
/** Reasons that are told. */
const REASONS_MAX = 5;

export class ClusterTarget implements RedisTarget {
  readonly #config: RedisClusterConfig;
  readonly #runtime: Runtime;
  /** Those that answered last first. The configured ones are always among those that are asked. */
  #known: readonly HostPort[] = [];
  /** Connections to masters. Whoever opens one ends it, so there are no more than its owners have. */
  readonly #open = new Set<Connection>();
  /** Kept from one question to the next as long as there are connections to masters. */
  #asker: { readonly id: string; readonly connection: Connection } | null = null;

  constructor(config: RedisClusterConfig, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
  }

  master(): Promise<ConnectionOptions> {
    return Promise.reject(severalMasters());
  }

  openMaster(): Promise<Connection> {
    return Promise.reject(severalMasters());
  }

  async masters(signal: AbortSignal): Promise<readonly RedisMaster[]> {
    const reasons: string[] = [];
    for (const node of this.#toAsk()) {
      try {
        const { masters, nodes } = await this.#ask(node, signal);
        this.#known = [node, ...nodes];
        if (this.#open.size === 0) this.#dropAsker();
        return [...masters].map(([id, { node: master, slots }]) => this.#master(id, master, slots));
      } catch (error) {
        if (signal.aborted) throw error;
        reasons.push(`${nodeId(node)}: ${errorMessage(error)}`);
      }
    }
    const told = reasons.slice(0, REASONS_MAX).join('; ');
    throw new SyncError('NO_MASTER', `no node of the cluster names its masters: ${told}`);
  }

  #toAsk(): HostPort[] {
    const { nodes } = this.#config.cluster;
    // A configured node goes before the hundredth that was learnt.
    const learnt = this.#known.slice(0, Math.max(1, ASKED_MAX - nodes.length));
    const all = new Map([...learnt, ...nodes].map((node) => [nodeId(node), node]));
    return [...all.values()].slice(0, Math.max(ASKED_MAX, nodes.length));
  }

  #master(id: string, node: HostPort, slots: RedisMaster['slots']): RedisMaster {
    const options = (clientName: string) => nodeOptions(node, this.#config, clientName);
    return {
      id,
      slots,
      options,
      open: async (clientName, signal) => {
        const connection = await openMasterNode(options(clientName), id, this.#runtime, signal);
        this.#open.add(connection);
        connection.onEnd(() => {
          this.#open.delete(connection);
          if (this.#open.size === 0) this.#dropAsker();
        });
        return connection;
      },
    };
  }

  #dropAsker(): void {
    this.#asker?.connection.drop();
    this.#asker = null;
  }

  async #askerFor(node: HostPort, signal: AbortSignal): Promise<Connection> {
    const id = nodeId(node);
    if (this.#asker?.id === id && !this.#asker.connection.ended) return this.#asker.connection;
    const options = nodeOptions(node, this.#config, 'session-gateway-topology');
    const short = { ...options, connectTimeout: ANSWER_TIMEOUT_MS };
    const connection = await Connection.open(short, this.#runtime, signal);
    this.#dropAsker();
    this.#asker = { id, connection };
    return connection;
  }

  async #ask(node: HostPort, signal: AbortSignal): Promise<ClusterSlots> {
    const connection = await this.#askerFor(node, signal);
    try {
      connection.expectReplyWithin(ANSWER_TIMEOUT_MS);
      const [info, slots] = await Promise.all([
        connection.call('CLUSTER', 'INFO'),
        connection.call('CLUSTER', 'SLOTS'),
      ]);
      const state = /^cluster_state:(\w+)/m.exec(String(info))?.[1];
      // One that lost sight of the others doesn't know what they agreed on since.
      if (state !== 'ok') throw new SyncError('NO_MASTER', `the cluster's state is ${state ?? 'unknown'}`);
      const found = parseClusterSlots(slots, node);
      const homeless = slotsWithoutOwner(found.masters.values());
      // Else their sessions would be taken for gone.
      if (homeless > 0) throw new SyncError('NO_MASTER', `${homeless} slots of the cluster have no owner`);
      connection.expectNothing();
      return found;
    } catch (error) {
      connection.drop();
      throw error;
    }
  }
}

function severalMasters(): SyncError {
  return new SyncError('NO_MASTER', 'a cluster has several masters: it is followed with feed.from: notifications');
}
