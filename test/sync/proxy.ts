/**
 * A proxy on a unix socket in front of Redis: it can lead each connection elsewhere, cut, hold back what the server
 * sends or let it through slowly.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class RedisProxy {
  readonly socket: string;
  /** Where the next connection goes; called with the number of those before it. */
  target: (number: number) => string;
  /** Most bytes of one reply that are passed on every ms; Infinity: at once. */
  bytesEveryMs = Number.POSITIVE_INFINITY;
  connections = 0;
  /** Bytes that servers sent and clients took, but for what is on its way. */
  received = 0;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor(socket: string, target: (number: number) => string) {
    this.socket = socket;
    this.target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  static async start(socket: string, target: (number: number) => string): Promise<RedisProxy> {
    const proxy = new RedisProxy(socket, target);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(socket, resolve);
    });
    return proxy;
  }

  get url(): string {
    return `unix://${this.socket}`;
  }

  #accept(client: Socket): void {
    const server = connect(this.target(this.connections++));
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(one);
      one.on('error', () => undefined);
      one.once('close', () => {
        this.#open.delete(one);
        other.destroy();
      });
    }
    client.on('drain', () => server.resume());
    client.pipe(server);
    server.on('data', (chunk: Buffer) => {
      this.received += chunk.length;
      if (this.bytesEveryMs !== Number.POSITIVE_INFINITY) this.#drip(server, client, chunk);
      else if (!client.write(chunk)) server.pause();
    });
  }

  #drip(from: Socket, to: Socket, chunk: Buffer): void {
    from.pause();
    let at = 0;
    const timer = setInterval(() => {
      if (to.destroyed) {
        clearInterval(timer);
        return;
      }
      // Full speed again: the rest at once.
      const bytes = Math.min(this.bytesEveryMs, chunk.length);
      to.write(chunk.subarray(at, at + bytes));
      at += bytes;
      if (at < chunk.length) return;
      clearInterval(timer);
      from.resume();
    }, 1);
  }

  cut(): void {
    for (const one of this.#open) one.destroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }
}
