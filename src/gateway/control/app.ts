/**
 * The control API as an HTTP/1.1 application, whatever it is served on. Imported by server.ts alone.
 *
 * Nothing is logged of a request (paths have session ids in them) but unexpected errors.
 */
import type { Socket } from 'node:net';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { SID_MAX_BYTES } from '../../sync/limits.ts';
import { addConsole } from '../console/routes.ts';
import { failure, type GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Gateway } from '../ports.ts';
import type { Admission } from './admission.ts';
import { requireToken } from './authentication.ts';
import { CONNECTION_LIMITS, type ConnectionLimits, createBoundedServer } from './connections.ts';
import { type EventLimits, EventStream } from './event-stream.ts';
import { BODY_MAX_BYTES } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { asGatewayError, clientError, PROBLEM_TYPE, problemOf, schemaError } from './problem.ts';
import { addRoutes } from './routes.ts';

export interface AppParts {
  readonly gateway: Gateway;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Who may use it; whoever reaches it when left out. */
  readonly admission?: Admission | undefined;
  readonly limits?: ConnectionLimits | undefined;
  readonly events?: EventLimits | undefined;
}

export function createApp(parts: AppParts): FastifyInstance {
  const { gateway, metrics, log, admission, limits = CONNECTION_LIMITS, events } = parts;
  const app = fastify({
    logger: false,
    bodyLimit: BODY_MAX_BYTES,
    serverFactory: (handle) => createBoundedServer(handle, limits),
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
  if (admission !== undefined) requireToken(app, admission, log);
  addConsole(app);
  const streams = new EventStream(gateway, events);
  // They were opened with a token that admits nobody any more.
  admission?.onReplaced(() => streams.cut());
  addRoutes(app, gateway, metrics, streams);
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
