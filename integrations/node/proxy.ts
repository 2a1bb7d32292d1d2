/**
 * An HTTP reverse proxy that sends each user to the backend that holds the session: an example for load balancers in Node.js,
 * to be copied and changed. WebSockets go the same way. Started as a program it takes its settings as arguments:
 *
 *   node integrations/node/proxy.ts --listen 8080 --gateway 10.0.0.5:6464 --keys keys.yaml \
 *     --backend http://10.0.0.11:8080 --backend http://10.0.0.12:8080
 *
 * SIGHUP reads the key file again. SIGTERM ends WebSockets, and the proxy when the requests under way have ended; a second one at once.
 */
import { Agent, type ClientRequest, createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { parseArgs } from 'node:util';
import { createProxyServer } from 'http-proxy-3';
import { cookieValue, createLookupClient, type Key, type LookupClient, readKey } from 'session-gateway/client';

export interface SessionProxyOptions {
  /** Asked with every request; closed by who made it. */
  readonly client: LookupClient;
  /** Name of the session's cookie. */
  readonly cookie: string;
  /** Where users go in turn whose backend isn't known, or when no gateway answers, as `http://10.0.0.11:8080`. At least one. */
  readonly backends: readonly string[];
  /** Longest wait for a backend's answer to begin, in ms. */
  readonly backendTimeoutMs?: number;
}

/** Where requests went, since the start. */
export interface SessionProxyCounts {
  /** To the backend that a gateway named: stored, moved or placed. */
  steered: number;
  /** To one in turn: no session, nothing known, or no gateway that answered. */
  balanced: number;
  denied: number;
  /** The backend could not be reached, or gave up. */
  failed: number;
}

const DENIED = 403;
const BAD_GATEWAY = 502;
const SOCKETS_MAX = 1_024;

type Upgraded = Duplex | ClientRequest;

export class SessionProxy {
  /** Not listening yet. */
  readonly server: Server;
  /** May be replaced at any time, as by one with another key; lookups under way end with the former. */
  client: LookupClient;
  readonly counts: SessionProxyCounts = { steered: 0, balanced: 0, denied: 0, failed: 0 };
  readonly #cookie: string;
  readonly #backends: readonly string[];
  readonly #proxy: ReturnType<typeof createProxyServer>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX });
  /** Both sides of each WebSocket: neither the server nor the agent ends them. */
  readonly #upgraded = new Set<Upgraded>();
  #isEnding = false;
  #turn = 0;

  constructor({ client, cookie, backends, backendTimeoutMs = 30_000 }: SessionProxyOptions) {
    if (backends.length === 0) throw new RangeError('backends: found none, allowed: at least one');
    this.client = client;
    this.#cookie = cookie;
    this.#backends = backends;
    this.#proxy = createProxyServer({ xfwd: true, proxyTimeout: backendTimeoutMs });
    // Each failure comes to the callback of its own request; this one is for what comes after that.
    this.#proxy.on('error', () => undefined);
    this.#proxy.on('proxyReqWs', (request) => this.#keep(request));
    this.#proxy.on('open', (socket) => this.#keep(socket));
    // Where a user keeps asking, the connection would go on for as long.
    this.#proxy.on('proxyRes', ({ headers }) => {
      if (this.#isEnding) headers.connection = 'close';
    });
    this.server = createServer((request, response) => void this.#forward(request, response));
    this.server.on('upgrade', (request, socket, head) => void this.#upgrade(request, socket, head));
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = await this.#targetOf(request);
    // The user has gone meanwhile.
    if (response.destroyed) return;
    if (this.#isEnding) response.shouldKeepAlive = false;
    if (target === null) {
      response.writeHead(DENIED).end();
      return;
    }
    this.#proxy.web(request, response, { target, agent: this.#agent }, () => this.#fail(response));
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Node.js leaves it to us; without a listener an error would end the process.
    socket.on('error', () => socket.destroy());
    this.#keep(socket);
    const target = await this.#targetOf(request);
    if (this.#isEnding) socket.destroy();
    if (socket.destroyed) return;
    if (target === null) {
      socket.end(`HTTP/1.1 ${DENIED} Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#proxy.ws(request, socket as never, head, { target }, () => this.#fail(socket));
  }

  /** @returns the backend's URL; null for who is to be refused */
  async #targetOf(request: IncomingMessage): Promise<string | null> {
    const result = await this.client.lookupCookie(cookieValue(request.headers.cookie, this.#cookie));
    if (result.status === 'DENIED') {
      this.counts.denied += 1;
      return null;
    }
    if (result.address !== null && result.port !== null) {
      this.counts.steered += 1;
      return `http://${result.address.includes(':') ? `[${result.address}]` : result.address}:${result.port}`;
    }
    this.counts.balanced += 1;
    const backend = this.#backends[this.#turn] as string;
    this.#turn = (this.#turn + 1) % this.#backends.length;
    return backend;
  }

  #fail(to: ServerResponse | Duplex): void {
    // A user who goes away ends the backend's request as well, which is nobody's failure.
    if (to.destroyed) return;
    this.counts.failed += 1;
    if (!(to instanceof ServerResponse)) {
      to.destroy();
    } else if (to.headersSent) {
      // Half an answer must not look like a whole one.
      to.destroy();
    } else {
      to.writeHead(BAD_GATEWAY).end();
    }
  }

  #keep(part: Upgraded): void {
    this.#upgraded.add(part);
    part.once('close', () => this.#upgraded.delete(part));
  }

  /** Ends WebSockets at once, and itself when the requests under way have ended. */
  async close(): Promise<void> {
    this.#isEnding = true;
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeIdleConnections();
    for (const part of this.#upgraded) part.destroy();
    await closed;
    this.#agent.destroy();
  }
}

/** A client, and the key that is wiped once it is closed. */
interface OwnedClient {
  readonly key: Key;
  readonly client: LookupClient;
}

async function closeClient({ key, client }: OwnedClient): Promise<void> {
  await client.close();
  key.wipe();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      listen: { type: 'string', default: '8080' },
      gateway: { type: 'string', multiple: true, default: [] },
      keys: { type: 'string', default: '/etc/load-balancer/gateway-keys.yaml' },
      key: { type: 'string' },
      cookie: { type: 'string', default: 'connect.sid' },
      backend: { type: 'string', multiple: true, default: [] },
      timeout: { type: 'string', default: '20' },
    },
  });
  const servers = values.gateway.map((text) => {
    const { hostname, port } = new URL(`udp://${text}`);
    return { host: hostname.replace(/^\[|\]$/g, ''), ...(port === '' ? {} : { port: Number(port) }) };
  });
  const newClient = async (): Promise<OwnedClient> => {
    const key = await readKey(values.keys, values.key === undefined ? undefined : Number(values.key));
    const timeoutMs = Number(values.timeout);
    return { key, client: createLookupClient({ servers, key, timeoutMs, cookieTransform: 'express' }) };
  };
  let reload: (() => void) | undefined;
  // From the beginning: a hang-up that nobody listens for ends the process.
  let isHungUp = false;
  process.on('SIGHUP', () => {
    if (reload === undefined) isHungUp = true;
    else reload();
  });
  const { cookie, backend: backends } = values;
  let owned = await newClient();
  const proxy = new SessionProxy({ client: owned.client, cookie, backends });
  reload = () => {
    newClient().then(
      async (next) => {
        const former = owned;
        owned = next;
        proxy.client = next.client;
        await closeClient(former);
      },
      (error: unknown) => console.error(`the former key stays: ${error instanceof Error ? error.message : error}`),
    );
  };
  process.once('SIGTERM', () => {
    proxy.close().then(() => closeClient(owned));
  });
  proxy.server.listen(Number(values.listen));
  if (isHungUp) reload();
}

if (import.meta.main) await main();
