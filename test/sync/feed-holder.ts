/** Between the sync and Redis; can hold up what the feed's reader, which is known by its name, is told. */
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';

export class FeedHolder {
  #redis: NetConnectOpts;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #feeds = new Set<Socket>();
  held = false;
  /** Commands that asked for the feed's newest entries. */
  asked = 0;

  constructor(redis: NetConnectOpts) {
    this.#redis = redis;
    this.#server = createServer((client) => {
      const redis = connect(this.#redis);
      for (const socket of [client, redis]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          client.destroy();
          redis.destroy();
          for (const set of [this.#sockets, this.#feeds]) set.delete(socket);
        });
      }
      client.on('data', (chunk) => {
        const text = chunk.toString('latin1');
        if (text.includes('session-gateway-feed')) this.#feeds.add(redis);
        if (text.includes('XREVRANGE')) this.asked += 1;
        redis.write(chunk);
      });
      redis.on('data', (chunk) => {
        client.write(chunk);
        if (this.held && this.#feeds.has(redis)) redis.pause();
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as { port: number }).port;
  }

  hold(): void {
    this.held = true;
    for (const socket of this.#feeds) socket.pause();
  }

  release(): void {
    this.held = false;
    for (const socket of this.#feeds) socket.resume();
  }

  /** New connections go to this one. */
  leadTo(redis: NetConnectOpts): void {
    this.#redis = redis;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The feed's reader alone is cut off. */
  cutFeed(): void {
    for (const socket of this.#feeds) socket.destroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}
