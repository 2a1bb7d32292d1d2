/**
 * The closed-loop client in C (bench/client), run on the client's host. May be imported by bench only.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { BenchNetwork } from '../traffic/network.ts';
import { BENCH_CLIENT } from './servers.ts';

export interface ClientOrder {
  readonly protocol: 'gateway' | 'redis' | 'memcached' | 'memcached-udp';
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** Questions under way on each. */
  readonly depth: number;
  /** Questions a second; 0 = as many as go. */
  readonly rate: number;
  readonly milliseconds: number;
  readonly cpu: number;
  readonly sessions: number;
  /** A state file with the key, for the gateway's protocol. */
  readonly state?: string;
}

export interface ClientResult {
  readonly answered: number;
  readonly wrong: number;
  readonly lost: number;
  readonly elapsedNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly p999Ns: number;
}

/** @throws Error where an answer is wrong, or there is none */
export async function runClient(network: BenchNetwork, order: ClientOrder): Promise<ClientResult> {
  const { protocol, host, port, connections, depth, rate, milliseconds, cpu, sessions, state } = order;
  const args = [protocol, host, port, connections, depth, rate, milliseconds, cpu, sessions, state ?? ''].map(String);
  const child = network.onClient(() => spawn(BENCH_CLIENT, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
  let [out, problem] = ['', ''];
  child.stdout.on('data', (bytes) => (out += bytes));
  child.stderr.on('data', (bytes) => (problem += bytes));
  const [status] = (await once(child, 'close')) as [number | null];
  if (status !== 0) throw new Error(`the client ended with status ${status}: ${problem.trim()}`);
  const result = JSON.parse(out) as ClientResult;
  if (result.answered === 0) throw new Error(`no answer within ${milliseconds} ms`);
  if (result.wrong > 0) throw new Error(`${result.wrong} of ${result.answered} answers are wrong`);
  return result;
}
