/**
 * A sentinel that a test plays: what it answers can be set, and who is connected be seen.
 */
import { createServer, type Server, type Socket } from 'node:net';

/** Answers the two questions that sentinels are asked, and OK to all else. */
export class PlayedSentinel {
  /** Null: it knows no such master. */
  answer: { host: string; port: number | string; epoch: number } | null;
  /** After so many more replies to the two questions it is silent. */
  replies = Number.POSITIVE_INFINITY;
  /** Questions that it was asked, answered or not. */
  asked = 0;
  readonly #server: Server;
  readonly sockets = new Set<Socket>();

  constructor(port: number) {
    this.answer = { host: '127.0.0.1', port, epoch: 1 };
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        // A command begins with the number of its parts.
        for (const command of data
          .toString()
          .toUpperCase()
          .split(/^(?=\*)/m))
          socket.write(this.#reply(command));
      });
    });
  }

  async listen(): Promise<{ host: string; port: number }> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return { host: '127.0.0.1', port: (this.#server.address() as { port: number }).port };
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  #reply(command: string): string {
    const list = (...parts: (string | number)[]) =>
      `*${parts.length}\r\n${parts.map((part) => `$${String(part).length}\r\n${part}\r\n`).join('')}`;
    // Not of the name that a client gives itself.
    if (!command.includes('\r\nSENTINEL\r\n')) return '+OK\r\n';
    this.asked += 1;
    if (this.replies === 0) return '';
    this.replies -= 1;
    if (this.answer === null)
      return command.includes('GET-MASTER') ? '*-1\r\n' : '-ERR No such master with that name\r\n';
    const { host, port, epoch } = this.answer;
    return command.includes('GET-MASTER') ? list(host, port) : list('name', 'main', 'config-epoch', epoch);
  }
}
