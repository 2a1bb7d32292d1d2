/** Three real backends behind a load balancer: express with the middleware of src/express, and WebSockets. */
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { sessionRoutes } from '../../src/express/index.ts';
import { startExpressApp } from '../support/express-app.ts';

export interface Backends {
  /** `app-1` → `127.0.0.1:12345` */
  readonly addresses: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

/** Each answer says who gave it, in the header `x-backend`. @param redisSocket of the Redis that gateways follow */
export async function startBackends(redisSocket: string): Promise<Backends> {
  const apps = await Promise.all(
    ['app-1', 'app-2', 'app-3'].map(async (name) => {
      const app = await startExpressApp(redisSocket, {
        middleware: (client) => {
          const routes = sessionRoutes({ redis: client, backend: name });
          return (request: object, response: { setHeader(name: string, value: string): void }, next: () => void) => {
            response.setHeader('x-backend', name);
            routes(request, response, next);
          };
        },
      });
      app.server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
        socket.on('error', () => socket.destroy());
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx-backend: ${name}\r\n\r\n`,
        );
        // What comes back is what was sent; frames are of no interest to a proxy.
        socket.pipe(socket);
      });
      const { port } = app.server.address() as AddressInfo;
      return { name, app, address: `127.0.0.1:${port}` };
    }),
  );
  return {
    addresses: new Map(apps.map(({ name, address }) => [name, address])),
    close: async () => {
      await Promise.all(apps.map(({ app }) => app.close()));
    },
  };
}
