/**
 * A Redis Cluster on loopback, for tests: masters that share the slots evenly, each with replicas where they are asked
 * for, and moving slots between them.
 */
import { isDeepStrictEqual } from 'node:util';
import { Cluster } from 'ioredis';
import { SLOTS } from '../../src/sync/redis/hash-slot.ts';
import type { ConnectionOptions, RedisClusterConfig } from '../../src/sync/redis/redis-options.ts';
import { until } from './harness.ts';
import { freePorts, RedisNode } from './redis-node.ts';

const KEYS_A_STEP = 100;
const STEPS_MAX = 1000;

export interface ClusterShape {
  readonly masters?: number;
  readonly replicas?: number;
  /** Of each node, by its port. */
  readonly settings?: (port: number) => string[];
  readonly login?: ConnectionOptions;
}

export class ClusterSetup {
  readonly masters: readonly RedisNode[];
  readonly replicas: readonly RedisNode[];
  readonly #clients: Cluster[] = [];

  private constructor(masters: readonly RedisNode[], replicas: readonly RedisNode[]) {
    this.masters = masters;
    this.replicas = replicas;
  }

  /**
   * @param firstPort free ones are looked for from there
   */
  static async start(
    firstPort: number,
    { masters = 3, replicas = 0, settings = () => [], login = {} }: ClusterShape = {},
  ): Promise<ClusterSetup> {
    const ports = await freePorts(masters + replicas, firstPort);
    // Short only where a replica is to notice soon: on a busy machine a node that is slow is taken for dead.
    const timeoutMs = replicas > 0 ? 1000 : 10_000;
    const own = ['cluster-enabled yes', `cluster-node-timeout ${timeoutMs}`, 'cluster-replica-validity-factor 0'];
    const nodes = await Promise.all(
      ports.map((port) => RedisNode.start({ port, settings: [...own, ...settings(port)], login })),
    );
    const setup = new ClusterSetup(nodes.slice(0, masters), nodes.slice(masters));
    await setup.#form();
    return setup;
  }

  get nodes(): readonly RedisNode[] {
    return [...this.masters, ...this.replicas];
  }

  get config(): RedisClusterConfig {
    return { cluster: { nodes: this.masters.map(({ port }) => ({ host: '127.0.0.1', port })) } };
  }

  /** A client of the tests' own, closed by `stop`. */
  client(): Cluster {
    const [cluster] = this.#clients;
    if (cluster !== undefined) return cluster;
    const made = new Cluster([...this.config.cluster.nodes], { redisOptions: { protocol: 2 } });
    made.on('error', () => undefined);
    this.#clients.push(made);
    return made;
  }

  /** Moves a slot with its keys, as a resharding does. @param during called when half of it is done */
  async moveSlot(slot: number, from: RedisNode, to: RedisNode, during: () => Promise<void> = async () => {}) {
    const [fromId, toId] = [await nodeIdOf(from), await nodeIdOf(to)];
    await to.client().call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
    await from.client().call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
    await during();
    for (let i = 0; i < STEPS_MAX; i++) {
      const keys = await from.client().callBuffer('CLUSTER', 'GETKEYSINSLOT', slot, KEYS_A_STEP);
      if (!Array.isArray(keys) || keys.length === 0) break;
      await from.client().call('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
    }
    await this.#epochsAgreed();
    for (const node of [to, from, ...this.masters.filter((other) => other !== to && other !== from)]) {
      await node.client().call('CLUSTER', 'SETSLOT', slot, 'NODE', toId);
    }
  }

  /**
   * Waits until the nodes know of one another's configuration epochs, and those differ. A node that takes a slot raises its own above all
   * that it knows of: where a newer one is still on its way, the old owner's claim wins later, and the keys are lost.
   */
  async #epochsAgreed(): Promise<void> {
    await until('the nodes agree on their epochs', async () => {
      const views = await Promise.all(this.masters.map(epochsOf));
      return views.every((view) => isDeepStrictEqual(view, views[0]) && new Set(view.values()).size === view.size);
    });
  }

  /** Waits until every node that runs finds the cluster in order and the masters to be those of `ports`. */
  async agreed(masters: readonly RedisNode[], running: readonly RedisNode[] = this.nodes): Promise<void> {
    const wanted = masters.map(({ port }) => port).sort();
    await until('the cluster agrees', async () => {
      const views = await Promise.all(running.map((node) => viewOf(node)));
      return views.every(({ ok, ports }) => ok && ports.sort().join() === wanted.join());
    });
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  async #form(): Promise<void> {
    const [first] = this.masters;
    for (const [i, node] of this.nodes.entries()) await node.client().call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
    const share = Math.ceil(SLOTS / this.masters.length);
    for (const [i, node] of this.masters.entries()) {
      const last = Math.min(SLOTS, (i + 1) * share) - 1;
      await node.client().call('CLUSTER', 'ADDSLOTSRANGE', i * share, last);
      if (node !== first) await node.client().call('CLUSTER', 'MEET', '127.0.0.1', first?.port ?? 0);
    }
    for (const node of this.replicas) await node.client().call('CLUSTER', 'MEET', '127.0.0.1', first?.port ?? 0);
    await this.agreed(this.masters);
    for (const [i, node] of this.replicas.entries()) {
      const master = this.masters[i % this.masters.length];
      if (master === undefined) throw new Error('no master');
      const id = await nodeIdOf(master);
      await until('the replica knows its master', () =>
        node
          .client()
          .call('CLUSTER', 'REPLICATE', id)
          .then(
            () => true,
            () => false,
          ),
      );
      await until('replicated', async () => (await node.client().role())[3] === 'connected');
    }
  }
}

async function nodeIdOf(node: RedisNode): Promise<string> {
  return String(await node.client().call('CLUSTER', 'MYID'));
}

/** Node id → configuration epoch of each master, as a node sees them. */
async function epochsOf(node: RedisNode): Promise<Map<string, number>> {
  const lines = String(await node.client().call('CLUSTER', 'NODES')).split('\n');
  const fields = lines.map((line) => line.split(' ')).filter(([, , flags]) => flags?.includes('master'));
  return new Map(fields.map(([id, , , , , , epoch]) => [id as string, Number(epoch)] as const).sort());
}

async function viewOf(node: RedisNode): Promise<{ ok: boolean; ports: number[] }> {
  try {
    const info = String(await node.client().call('CLUSTER', 'INFO'));
    const slots = (await node.client().call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    return { ok: info.includes('cluster_state:ok'), ports: [...new Set(slots.map(([, , [, port]]) => port))] };
  } catch {
    return { ok: false, ports: [] };
  }
}
