/**
 * A master with a replica and three sentinels on loopback, for tests.
 */
import type { RedisSentinelConfig } from '../../src/sync/redis/redis-options.ts';
import { until } from './harness.ts';
import { freePorts, RedisNode } from './redis-node.ts';

export const MASTER_NAME = 'main';
const QUORUM = 2;

export class SentinelSetup {
  readonly nodes: readonly [RedisNode, RedisNode];
  readonly sentinels: readonly RedisNode[];

  private constructor(nodes: readonly [RedisNode, RedisNode], sentinels: readonly RedisNode[]) {
    this.nodes = nodes;
    this.sentinels = sentinels;
  }

  /**
   * @param firstPort five free ones are looked for from there
   * @param settings of the two servers
   */
  static async start(firstPort: number, settings: readonly string[] = []): Promise<SentinelSetup> {
    const [master = 0, replica = 0, ...others] = await freePorts(5, firstPort);
    const nodes = [
      await RedisNode.start({ port: master, settings }),
      await RedisNode.start({ port: replica, settings: [...settings, `replicaof 127.0.0.1 ${master}`] }),
    ] as const;
    const watch = [
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${master} ${QUORUM}`,
      `sentinel down-after-milliseconds ${MASTER_NAME} 500`,
      `sentinel failover-timeout ${MASTER_NAME} 3000`,
    ];
    const sentinels = await Promise.all(
      others.map((port) => RedisNode.start({ port, sentinel: true, settings: watch })),
    );
    const setup = new SentinelSetup(nodes, sentinels);
    await until('the sentinels know each other and the replica', async () => {
      const views = await Promise.all(sentinels.map((sentinel) => setup.#view(sentinel)));
      return views.every((view) => view['num-other-sentinels'] === '2' && view['num-slaves'] === '1');
    });
    return setup;
  }

  get config(): RedisSentinelConfig {
    const nodes = this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
    return { sentinel: { name: MASTER_NAME, nodes } };
  }

  /** The server that the sentinels name, and that says that it is a master. */
  async master(): Promise<RedisNode> {
    let found: RedisNode | undefined;
    await until('a master', async () => {
      const ports = await Promise.all(this.sentinels.map(async (sentinel) => (await this.#view(sentinel))['port']));
      found = this.nodes.find(({ port }) => ports.every((named) => named === String(port)));
      const role = await found
        ?.client()
        .role()
        .catch(() => null);
      return role?.[0] === 'master';
    });
    if (found === undefined) throw new Error('no master');
    return found;
  }

  /** Waits until the other server is in step with the master. */
  async replicated(): Promise<void> {
    const master = await this.master();
    await until('replicated', async () => (await master.client().wait(1, 1000)) === 1);
  }

  other(node: RedisNode): RedisNode {
    return this.nodes[0] === node ? this.nodes[1] : this.nodes[0];
  }

  async failover(): Promise<void> {
    await this.sentinels[0]?.client().call('SENTINEL', 'FAILOVER', MASTER_NAME);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.nodes].map((node) => node.stop()));
  }

  async #view(sentinel: RedisNode): Promise<Record<string, string>> {
    const reply = (await sentinel
      .client()
      .call('SENTINEL', 'MASTER', MASTER_NAME)
      .catch(() => [])) as string[];
    return Object.fromEntries(reply.flatMap((name, i) => (i % 2 === 0 ? [[name, reply[i + 1] ?? '']] : [])));
  }
}
