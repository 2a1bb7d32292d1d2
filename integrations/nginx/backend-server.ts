/** A backend, as an HTTP server that says who it is. For the demo and the tests. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

export interface BackendServer {
  readonly name: string;
  /** host:port */
  readonly address: string;
  /** Requests that it has answered. */
  readonly requests: () => number;
  close(): Promise<void>;
}

/** @param host an address of loopback */
export async function startBackend(name: string, host: string, port: number): Promise<BackendServer> {
  let requests = 0;
  const server: Server = createServer((request, response) => {
    requests += 1;
    request.resume();
    response.setHeader('X-Backend', name);
    response.end(`${name}\n`);
  });
  // nginx keeps connections; it, not the backend, is to close them.
  server.keepAliveTimeout = 120_000;
  server.listen(port, host);
  await once(server, 'listening');
  return {
    name,
    address: `${host}:${port}`,
    requests: () => requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
