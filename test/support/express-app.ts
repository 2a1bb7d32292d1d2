/**
 * An application as it is in the world: express, express-session and connect-redis, which know nothing of a gateway; it
 * writes the backend into its session. With a middleware it can be one that does.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createClient } from 'redis';

const MAX_AGE_MS = 600_000;

export interface ExpressApp {
  /** @returns a browser without cookies */
  browser(): Browser;
  readonly server: Server;
  close(): Promise<void>;
}

export interface ExpressAppOptions {
  /** Comes after express-session. @param client connect-redis's */
  readonly middleware?: (client: ReturnType<typeof createClient>) => unknown;
}

/** @param socket of Redis */
export async function startExpressApp(socket: string, { middleware }: ExpressAppOptions = {}): Promise<ExpressApp> {
  const client = createClient({ socket: { path: socket, tls: false } });
  client.on('error', () => undefined);
  await client.connect();
  const app = express();
  app.use(
    session({
      store: new RedisStore({ client }),
      secret: 'test',
      resave: false,
      saveUninitialized: false,
      cookie: { maxAge: MAX_AGE_MS },
    }),
  );
  if (middleware !== undefined) app.use(middleware(client));
  // biome-ignore lint/suspicious/noExplicitAny: express comes without types
  type Any = any;
  const end = (response: Any) => (error: unknown) => response.sendStatus(error ? 500 : 200);
  app.post('/on/:backend', (request: Any, response: Any) => {
    request.session.backend = request.params.backend;
    request.session.route = { backend: request.params.backend };
    request.session.save(end(response));
  });
  app.get('/page', (request: Any, response: Any) => response.send(request.session.backend ?? 'nobody'));
  // The session is destroyed by another process while this request has it.
  app.get('/vanish', (request: Any, response: Any) => {
    client
      .del([`sess:${request.sessionID}`, `route:${request.sessionID}`])
      .then(() => response.send(''), end(response));
  });
  app.post('/anew/:backend', (request: Any, response: Any) => {
    request.session.regenerate(() => {
      request.session.backend = request.params.backend;
      request.session.save(end(response));
    });
  });
  app.post('/logout', (request: Any, response: Any) => request.session.destroy(end(response)));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    server,
    browser: () => new Browser(`http://127.0.0.1:${port}`),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      client.destroy();
    },
  };
}

export class Browser {
  readonly #origin: string;
  #cookie = '';
  /** Of the last answer. */
  headers = new Headers();

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** @throws Error where the answer is not 200 */
  async go(method: 'GET' | 'POST', path: string): Promise<string> {
    const response = await fetch(this.#origin + path, { method, headers: { cookie: this.#cookie } });
    this.headers = response.headers;
    const cookie = response.headers.getSetCookie()[0];
    if (cookie !== undefined) this.#cookie = cookie.slice(0, cookie.indexOf(';'));
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status}`);
    return text;
  }

  get cookie(): string {
    return this.#cookie;
  }

  /** The cookie's value is `s:<session id>.<signature>`, encoded as in a URL. */
  get sid(): string {
    const value = decodeURIComponent(this.#cookie.slice(this.#cookie.indexOf('=') + 1));
    return value.slice('s:'.length, value.lastIndexOf('.'));
  }
}
