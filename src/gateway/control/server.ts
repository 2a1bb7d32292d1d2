/**
 * The control API's server: HTTP/1.1 over a Unix socket. May be imported by src/gateway only.
 *
 * Nothing is logged of a request (paths have session ids in them) but unexpected errors.
 */
import type { Socket } from 'node:net';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { SID_MAX_BYTES } from '../../sync/limits.ts';
import { failure, type GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Gateway } from '../ports.ts';
import { BODY_MAX_BYTES, CONNECTIONS_MAX, HEADERS_MAX_BYTES, REQUEST_TIMEOUT_MS } from './limits.ts';
import { createMetrics } from './metrics.ts';
import { asGatewayError, clientError, PROBLEM_TYPE, problemOf, schemaError } from './problem.ts';
import { addRoutes } from './routes.ts';
import { listenOn } from './socket.ts';

export interface ControlServer {
  /** Stops listening, cuts what is connected, removes the socket. */
  close(): Promise<void>;
}

/**
 * Serves the control API on a Unix socket.
 * @throws GatewayError SOCKET_IN_USE, SOCKET_UNUSABLE
 */
export async function startControl(socket: string, gateway: Gateway, log: Logger): Promise<ControlServer> {
  const app = createApp(gateway, log);
  const removeSocket = await listenOn(socket, async (path) => {
    await app.ready();
    app.server.maxConnections = CONNECTIONS_MAX;
    await app.listen({ path });
  });
  return {
    async close() {
      removeSocket();
      await app.close();
    },
  };
}

function createApp(gateway: Gateway, log: Logger): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_MAX_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: REQUEST_TIMEOUT_MS,
    http: { maxHeaderSize: HEADERS_MAX_BYTES, headersTimeout: REQUEST_TIMEOUT_MS },
    routerOptions: { maxParamLength: SID_MAX_BYTES },
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: false } },
    schemaErrorFormatter: schemaError,
    frameworkErrors: (error, _request, reply: FastifyReply) => answer(reply, asGatewayError(error)),
    clientErrorHandler: (error, socket) => answerClientError(error, socket),
  });
  app.setErrorHandler((error, _request, reply) => {
    const found = asGatewayError(error);
    if (found.code === 'INTERNAL') log.error({ err: error }, 'a request to the control API failed unexpectedly');
    answer(reply, found);
  });
  app.setNotFoundHandler((request) => {
    throw failure('ROUTE_UNKNOWN', { method: request.method });
  });
  addRoutes(
    app,
    gateway,
    createMetrics(() => gateway.status()),
  );
  return app;
}

function answer(reply: FastifyReply, error: GatewayError): void {
  const problem = problemOf(error);
  reply.code(problem.status).type(PROBLEM_TYPE).serializer(JSON.stringify).send(problem);
}

function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const problem = problemOf(clientError(error));
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\nConnection: close\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
