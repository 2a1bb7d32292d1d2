/**
 * The HTTP server below the control API, and what a connection to it may cost: how many there are, how slowly one may
 * ask, how far ahead, how long it may take to read what it asked for. Imported by app.ts and event-stream.ts alone.
 */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import {
  CONNECTIONS_MAX,
  EXCHANGE_TIMEOUT_MS,
  HEADERS_MAX_BYTES,
  PIPELINED_MAX,
  REQUEST_TIMEOUT_MS,
  TIMEOUT_CHECK_MS,
} from './limits.ts';

export interface ConnectionLimits {
  readonly connectionsMax: number;
  readonly pipelinedMax: number;
  readonly requestTimeoutMs: number;
  readonly exchangeTimeoutMs: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  connectionsMax: CONNECTIONS_MAX,
  pipelinedMax: PIPELINED_MAX,
  requestTimeoutMs: REQUEST_TIMEOUT_MS,
  exchangeTimeoutMs: EXCHANGE_TIMEOUT_MS,
};

/** What cuts an exchange that takes too long. */
const timers = new WeakMap<ServerResponse, NodeJS.Timeout>();

/** This answer has no end: who gives it sees to those that don't read. */
export function leaveOpen(response: ServerResponse): void {
  clearTimeout(timers.get(response));
}

/**
 * A server that cuts connections which go beyond the limits.
 * @param handle what requests within them are given to
 */
export function createBoundedServer(handle: RequestListener, limits: ConnectionLimits): Server {
  const { connectionsMax, pipelinedMax, requestTimeoutMs, exchangeTimeoutMs } = limits;
  const options = {
    maxHeaderSize: HEADERS_MAX_BYTES,
    headersTimeout: requestTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, requestTimeoutMs),
  };
  const waiting = new WeakMap<Socket, number>();
  const server = createServer(options, (request, response) => {
    const { socket } = request;
    const ahead = waiting.get(socket) ?? 0;
    // Of what was read before it was cut, the parser goes on to report every request.
    if (socket.destroyed || ahead >= pipelinedMax) {
      socket.destroy();
      return;
    }
    waiting.set(socket, ahead + 1);
    const timer = setTimeout(() => socket.destroy(), exchangeTimeoutMs);
    timers.set(response, timer);
    response.once('close', () => {
      clearTimeout(timer);
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
    });
    handle(request, response);
  });
  server.maxConnections = connectionsMax;
  return server;
}
