/**
 * The control API's server: on a Unix socket, and over TCP where that is asked for. May be imported by src/gateway only.
 */
import { lookup } from 'node:dns/promises';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import ipaddr from 'ipaddr.js';
import { failure, reasonOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Gateway } from '../ports.ts';
import type { Admission } from './admission.ts';
import { type AppParts, createApp } from './app.ts';
import { createMetrics } from './metrics.ts';
import { listenOn } from './socket.ts';

export interface ControlServer {
  /** Where it listens over TCP; null where it doesn't. */
  readonly http: AddressInfo | null;
  /** Stops listening, cuts what is connected, removes the socket. */
  close(): Promise<void>;
}

/** The control API over TCP. */
export interface HttpAccess {
  readonly host: string;
  readonly port: number;
  readonly admission: Admission;
}

export interface ControlOptions extends Pick<AppParts, 'limits' | 'events'> {
  readonly http?: HttpAccess | null;
}

/**
 * Serves the control API.
 * @param socket path of the Unix socket
 * @throws GatewayError SOCKET_IN_USE, SOCKET_UNUSABLE, HTTP_UNUSABLE
 */
export async function startControl(
  socket: string,
  gateway: Gateway,
  log: Logger,
  { http = null, limits, events }: ControlOptions = {},
): Promise<ControlServer> {
  const metrics = createMetrics({
    status: () => gateway.status(),
    backendCounts: (limit) => gateway.backendCounts(limit),
  });
  const parts: AppParts = { gateway, log, metrics, limits, events };
  const app = createApp(parts);
  const removeSocket = await listenOn(socket, (path) => app.listen({ path }));
  const closeSocket = (): Promise<void> => {
    removeSocket();
    return app.close();
  };
  if (http === null) return { http: null, close: closeSocket };
  const tcp = createApp({ ...parts, admission: http.admission });
  try {
    const address = await listenOverTcp(tcp, http, log);
    return { http: address, close: () => closeAll([closeSocket(), tcp.close()]) };
  } catch (error) {
    await closeAll([closeSocket(), tcp.close()]);
    throw error;
  }
}

async function closeAll(closing: readonly Promise<unknown>[]): Promise<void> {
  await Promise.all(closing);
}

async function listenOverTcp(app: FastifyInstance, { host, port }: HttpAccess, log: Logger): Promise<AddressInfo> {
  try {
    // A name is resolved here: the framework would make a second server for localhost, without the bounds of the first.
    const { address } = await lookup(host);
    await app.listen({ host: address, port });
  } catch (error) {
    throw failure('HTTP_UNUSABLE', { host, port, reason: reasonOf(error) }, error);
  }
  const bound = app.server.address() as AddressInfo;
  if (ipaddr.process(bound.address).range() !== 'loopback') {
    log.warn(
      { address: bound.address, port: bound.port },
      'control.http listens beyond this machine without TLS: the token can be read on the way; put a proxy with TLS before it',
    );
  }
  return bound;
}
