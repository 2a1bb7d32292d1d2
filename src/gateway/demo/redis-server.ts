/**
 * A redis-server of one's own: in a folder of its own, ended with the process that started it.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 5_000;

export class RedisServer {
  readonly socket: string;
  readonly #process: ChildProcess;

  private constructor(socket: string, child: ChildProcess) {
    this.socket = socket;
    this.#process = child;
  }

  /**
   * @param spawn starts a program where the server is to live
   * @param directory an existing folder for its socket and data
   * @param port TCP port on the loopback addresses of that place
   */
  static async start(
    spawn: (command: string, args: readonly string[]) => ChildProcess,
    directory: string,
    port: number,
    extra: readonly string[] = [],
  ): Promise<RedisServer> {
    const socket = join(directory, 'redis.sock');
    const child = spawn('redis-server', [
      ...['--port', String(port), '--bind', '127.0.0.1', '--unixsocket', socket],
      ...['--dir', directory, '--save', '', '--appendonly', 'no', ...extra],
    ]);
    const server = new RedisServer(socket, child);
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await answersPing(socket))) {
      if (child.exitCode !== null || performance.now() > deadline) {
        await server.stop();
        throw new Error(`redis-server did not start in ${directory} (exit ${child.exitCode})`);
      }
      await sleep(20);
    }
    return server;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  async stop(): Promise<void> {
    await endProcess(this.#process, STOP_TIMEOUT_MS);
  }
}

/** SIGTERM, and SIGKILL when that is not enough. */
export async function endProcess(child: ChildProcess, timeoutMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  await ended;
  clearTimeout(timer);
}

function answersPing(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.setTimeout(1000, () => connection.destroy());
    connection.once('connect', () => connection.write('PING\r\n'));
    connection.once('data', (data) => {
      resolve(data.toString().startsWith('+PONG'));
      connection.destroy();
    });
    connection.once('error', () => resolve(false));
    connection.once('close', () => resolve(false));
  });
}
