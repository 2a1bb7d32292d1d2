/**
 * What lies between the gateway and Redis: a TCP proxy of ours on the gateway's host, which loses, delays and refuses as a
 * network does.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export type ProxyMode =
  | 'pass'
  /** New connections are closed at once; those that are there go on. */
  | 'refuse'
  /** Connections are taken and nothing comes out of them, for ever: nobody says that they are dead. */
  | 'swallow'
  /** Bytes come a few at a time. */
  | 'drip';

/** In mode 'drip', so many bytes … */
const DRIP_BYTES = 1_500;
/** … each so often. */
const DRIP_MS = 25;

export class FaultyProxy {
  readonly #server: Server;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #target: () => string;
  #mode: ProxyMode = 'pass';

  /**
   * @param listen makes the server listen, in the network where it is to be
   * @param target the Unix socket of the Redis that is to be reached, asked for each connection
   */
  constructor(listen: (server: Server) => void, target: () => string) {
    this.#target = target;
    this.#server = createServer({ noDelay: true }, (client) => this.#accept(client));
    listen(this.#server);
  }

  get mode(): ProxyMode {
    return this.#mode;
  }

  set mode(mode: ProxyMode) {
    this.#mode = mode;
    // What was swallowed once is missing from its stream: such a connection never comes back to life.
    if (mode === 'swallow') for (const connection of this.#connections) connection.swallow();
  }

  /** Ends every connection. */
  cut(): void {
    for (const connection of this.#connections) connection.close();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  #accept(client: Socket): void {
    if (this.#mode === 'refuse') {
      client.on('error', () => undefined);
      client.destroy();
      return;
    }
    const connection = new ProxiedConnection(
      client,
      this.#target(),
      () => this.#mode === 'drip',
      () => this.#connections.delete(connection),
    );
    this.#connections.add(connection);
    if (this.#mode === 'swallow') connection.swallow();
  }
}

class ProxiedConnection {
  readonly #client: Socket;
  readonly #redis: Socket;
  readonly #drips: () => boolean;
  readonly #closed: () => void;
  #swallows = false;

  constructor(client: Socket, target: string, drips: () => boolean, closed: () => void) {
    this.#client = client;
    this.#redis = connect(target);
    this.#drips = drips;
    this.#closed = closed;
    this.#forward(this.#client, this.#redis);
    this.#forward(this.#redis, this.#client);
  }

  swallow(): void {
    this.#swallows = true;
  }

  close(): void {
    this.#client.destroy();
    this.#redis.destroy();
    this.#closed();
  }

  #forward(from: Socket, to: Socket): void {
    from.on('error', () => undefined);
    from.on('data', (chunk) => {
      if (this.#swallows) return;
      from.pause();
      this.#deliver(chunk, to).then(() => from.resume());
    });
    from.once('close', () => {
      // Of a connection that swallows, the client is never told.
      if (!this.#swallows || from === this.#client) this.close();
    });
  }

  async #deliver(chunk: Buffer, to: Socket): Promise<void> {
    let sent = 0;
    while (sent < chunk.length && !to.destroyed && !this.#swallows) {
      const drips = this.#drips();
      const part = drips ? chunk.subarray(sent, sent + DRIP_BYTES) : chunk.subarray(sent);
      sent += part.length;
      // Fulfilled when the part is sent or the socket is gone.
      await new Promise<void>((resolve) => to.write(part, () => resolve()));
      if (drips) await sleep(DRIP_MS);
    }
  }
}
