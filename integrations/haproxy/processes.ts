/**
 * HAProxy and its agent as processes, with the configuration of this folder but other addresses: for the demo and the tests.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const GATEWAY = fileURLToPath(new URL('../../bin/gateway', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

export interface HaproxyOptions {
  /** An existing folder for its configuration. */
  readonly directory: string;
  readonly port: number;
  readonly agentPort: number;
  /** Addresses of app-1, app-2, app-3. */
  readonly backends: readonly string[];
  /** Changes to the configurations' texts: what is there, and what takes its place. */
  readonly changes?: readonly (readonly [from: string, to: string])[];
}

/** A program that listens on a loopback port. */
export class Listening {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** @throws Error where it ends, or doesn't listen in time */
  static async start(command: string, args: readonly string[], port: number, log: string): Promise<Listening> {
    const output = fs.openSync(log, 'a');
    const child = spawn(command, args, { stdio: ['ignore', output, output] });
    fs.closeSync(output);
    const started = new Listening(child, port);
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await listens(port))) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
        await started.stop();
        throw new Error(`${command} did not start:\n${fs.readFileSync(log, 'utf8').slice(-2_000)}`);
      }
      await sleep(50);
    }
    return started;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** @param signal SIGKILL = at once, with all that it was doing */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (signal === 'SIGKILL') this.#child.kill('SIGKILL');
    await endProcess(this.#child, STOP_TIMEOUT_MS);
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(port, '127.0.0.1');
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}

/** Replaces a part that must be there. */
function replaced(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`found no ${JSON.stringify(from)} in the configuration`);
  return text.replaceAll(from, to);
}

export async function startHaproxy(options: HaproxyOptions): Promise<Listening> {
  const { directory, port, agentPort, backends, changes = [] } = options;
  const spoeFile = join(directory, 'session-gateway-spoe.cfg');
  const file = join(directory, 'haproxy.cfg');
  let spoe = fs.readFileSync(join(HERE, 'session-gateway-spoe.cfg'), 'utf8');
  let config = fs.readFileSync(join(HERE, 'haproxy.cfg'), 'utf8');
  config = replaced(config, 'bind :80', `bind 127.0.0.1:${port}`);
  config = replaced(config, '127.0.0.1:9191', `127.0.0.1:${agentPort}`);
  config = replaced(config, '/etc/haproxy/session-gateway-spoe.cfg', spoeFile);
  for (const [i, address] of backends.entries()) config = replaced(config, `10.0.0.1${i + 1}:8080`, address);
  for (const [from, to] of changes) {
    if (config.includes(from)) config = replaced(config, from, to);
    else spoe = replaced(spoe, from, to);
  }
  fs.writeFileSync(spoeFile, spoe);
  fs.writeFileSync(file, config);
  execFileSync('haproxy', ['-c', '-q', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  return await Listening.start('haproxy', ['-db', '-f', file], port, join(directory, 'haproxy.log'));
}

export interface AgentOptions {
  /** An existing folder for its log. */
  readonly directory: string;
  readonly port: number;
  /** host:port */
  readonly gateways: readonly string[];
  readonly keyFile: string;
  /** The key's id, where the file has several. */
  readonly key?: number;
  readonly timeoutMs?: number;
}

export function startAgent(options: AgentOptions): Promise<Listening> {
  const { directory, port, gateways, keyFile, key, timeoutMs = 20 } = options;
  const servers = gateways.flatMap((server) => ['--server', server]);
  const args = ['spoe-agent', ...servers, '--listen', `127.0.0.1:${port}`, '--keys', keyFile];
  if (key !== undefined) args.push('--key', String(key));
  return Listening.start(GATEWAY, [...args, '--timeout', String(timeoutMs)], port, join(directory, 'agent.log'));
}
