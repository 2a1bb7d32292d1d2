/**
 * A Redis that a test plays, on a unix socket: what it answers to each command, and when, the test says.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Reply } from '../../src/sync/redis/resp-reply.ts';
import { RespScanner } from '../../src/sync/redis/resp-scanner.ts';
import { encodeReply, type Value } from './replies.ts';

/** A command's name and arguments. */
export type Command = readonly string[];

export class PlayedRedis {
  readonly #directory: string;
  readonly #server: Server;
  readonly #answer: (command: Command) => Value | Promise<Value>;
  readonly #sockets = new Set<Socket>();

  private constructor(answer: (command: Command) => Value | Promise<Value>) {
    this.#directory = mkdtempSync(join(tmpdir(), 'session-gateway-played-'));
    this.#answer = answer;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @param answer to each command but MULTI and EXEC, also in a transaction; replies keep their order */
  static async start(answer: (command: Command) => Value | Promise<Value>): Promise<PlayedRedis> {
    const played = new PlayedRedis(answer);
    await new Promise<void>((resolve, reject) => {
      played.#server.once('error', reject);
      played.#server.listen(played.#path, resolve);
    });
    return played;
  }

  get #path(): string {
    return join(this.#directory, 'redis.sock');
  }

  get url(): string {
    return `unix://${this.#path}`;
  }

  /** Ends the connections that are open. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
    rmSync(this.#directory, { recursive: true });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
    const scanner = new RespScanner();
    let transaction: Command[] | null = null;
    let last: Promise<unknown> = Promise.resolve();
    const reply = (value: () => Value | Promise<Value>): void => {
      last = last.then(async () => socket.write(encodeReply(await value())));
    };
    const take = (command: Command): void => {
      const [name] = command;
      if (name === 'MULTI') transaction = [];
      else if (name === 'EXEC') {
        const commands = transaction ?? [];
        transaction = null;
        reply(() => Promise.all(commands.map(this.#answer)));
        return;
      } else if (transaction !== null) transaction.push(command);
      else {
        reply(() => this.#answer(command));
        return;
      }
      reply(() => 'OK');
    };
    socket.on('data', (chunk: Buffer) => {
      let rest = chunk;
      while (rest.length > 0) {
        const taken = scanner.push(rest);
        if (taken < 0) return;
        rest = rest.subarray(taken);
        const command = new Reply(scanner.store).toValue() as Buffer[];
        scanner.restart();
        take(command.map(String));
      }
    });
  }
}
