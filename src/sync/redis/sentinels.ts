/**
 * The sentinels of one master: asked all at once who the master is, each within a bounded time. Of answers that differ,
 * as after a failover of which one sentinel doesn't know yet, the one of the highest configuration epoch counts
 * (Sentinel specification, "Configuration epochs"). May be imported by src/sync only.
 */

import { errorMessage, SyncError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { Connection } from './connection.ts';
import { type HostPort, nodeId, nodeOptions, type RedisSentinelConfig } from './redis-options.ts';

/** From connecting to a sentinel to its answer, ms. */
const ANSWER_TIMEOUT_MS = 1000;

/** A connection, and when the answers to the questions under way are due (monotonic, ms), which is the order in which they come. */
interface Line {
  readonly connection: Connection;
  readonly due: number[];
}

interface Answer {
  readonly master: HostPort;
  readonly epoch: number;
}

export class Sentinels {
  readonly #config: RedisSentinelConfig;
  readonly #runtime: Runtime;
  /** Kept from one question to the next; at most one a sentinel. */
  readonly #lines = new Map<HostPort, Line>();
  #holds = 0;

  constructor(config: RedisSentinelConfig, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
  }

  /** To be called while they are held. @throws SyncError NO_MASTER with what each sentinel had to say */
  async master(signal: AbortSignal): Promise<HostPort> {
    const { name, nodes } = this.#config.sentinel;
    const reasons: string[] = [];
    let best: Answer | null = null;
    const answers = await Promise.allSettled(nodes.map((node) => this.#ask(node, signal)));
    for (const [i, answer] of answers.entries()) {
      if (answer.status === 'rejected') {
        reasons.push(`${nodeId(nodes[i] as HostPort)}: ${errorMessage(answer.reason)}`);
      } else if (best === null || answer.value.epoch > best.epoch) best = answer.value;
    }
    if (best !== null) return best.master;
    throw new SyncError('NO_MASTER', `no sentinel names the master of ${name}: ${reasons.join('; ')}`);
  }

  /** Keeps connections to the sentinels for the next question, until all who hold them have called what is returned. */
  hold(): () => void {
    this.#holds += 1;
    return () => {
      this.#holds -= 1;
      if (this.#holds > 0) return;
      for (const { connection } of this.#lines.values()) connection.drop();
      this.#lines.clear();
    };
  }

  async #ask(node: HostPort, signal: AbortSignal): Promise<Answer> {
    const { name } = this.#config.sentinel;
    const dueMs = this.#runtime.monotonicMs() + ANSWER_TIMEOUT_MS;
    const line = await this.#line(node, signal);
    const { connection, due } = line;
    due.push(dueMs);
    // A question must not put off the answers to earlier ones.
    if (due.length === 1) this.#expectNext(line);
    try {
      const [address, state] = await Promise.all([
        connection.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name),
        // Of a name that it doesn't know it says so by an error, and the first reply is null.
        connection.call('SENTINEL', 'MASTER', name),
      ]);
      due.shift();
      this.#expectNext(line);
      return { master: hostPort(address), epoch: epochOf(state) };
    } catch (error) {
      if (this.#lines.get(node) === line) this.#lines.delete(node);
      connection.drop();
      throw error;
    }
  }

  #expectNext({ connection, due }: Line): void {
    const [dueMs] = due;
    if (dueMs === undefined) connection.expectNothing();
    else connection.expectReplyWithin(Math.max(0, dueMs - this.#runtime.monotonicMs()));
  }

  async #line(node: HostPort, signal: AbortSignal): Promise<Line> {
    const kept = this.#kept(node);
    if (kept !== undefined) return kept;
    const { username = null, password = null } = this.#config.sentinel;
    const login = { username, password, tls: this.#config.tls ?? null };
    const options = { ...nodeOptions(node, login, 'session-gateway-sentinel'), connectTimeout: ANSWER_TIMEOUT_MS };
    const connection = await Connection.open(options, this.#runtime, signal);
    // Two questions at the same time may both have opened one, and the other one's answer may be under way.
    const other = this.#kept(node);
    if (other !== undefined) {
      connection.drop();
      return other;
    }
    const line = { connection, due: [] };
    this.#lines.set(node, line);
    return line;
  }

  #kept(node: HostPort): Line | undefined {
    const line = this.#lines.get(node);
    return line?.connection.ended ? undefined : line;
  }
}

function hostPort(reply: unknown): HostPort {
  const [host, port] = Array.isArray(reply) ? reply.map(String) : [];
  const number = Number(port);
  if (host !== undefined && number >= 1 && number <= 65_535) return { host, port: number };
  throw new SyncError('REDIS_REPLY', 'SENTINEL GET-MASTER-ADDR-BY-NAME: found no host and port');
}

/** @param reply name, value, name, value, … */
function epochOf(reply: unknown): number {
  const fields = Array.isArray(reply) ? reply.map(String) : [];
  const epoch = Number(fields[fields.indexOf('config-epoch') + 1]);
  return Number.isSafeInteger(epoch) ? epoch : 0;
}
