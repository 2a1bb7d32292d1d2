/**
 * What `gateway console` serves on the loopback: the console's files, and the control API of the daemon behind the Unix socket, to
 * whoever has the token that is made for this one run. Imported by commands/console.ts and tests.
 */
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type FastifyInstance, fastify } from 'fastify';
import { withoutLimit } from '../control/admission.ts';
import { requireToken } from '../control/authentication.ts';
import { CONNECTION_LIMITS, createBoundedServer, leaveOpen } from '../control/connections.ts';
import { asGatewayError, PROBLEM_TYPE, problemOf } from '../control/problem.ts';
import type { Token } from '../control/token.ts';
import { failure, type GatewayError, reasonOf, systemCode } from '../errors.ts';
import type { Logger } from '../log.ts';
import { addConsole } from './routes.ts';

/** Of a connection between two hops, not of the message (RFC 9110, section 7.6.1); and what this hop sees to. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'authorization',
  'host',
]);

export interface ForwarderParts {
  /** Path of the daemon's. */
  readonly socket: string;
  /** Of so many random bits that nobody guesses it. */
  readonly token: Token;
  readonly log: Logger;
}

export function createForwarder({ socket, token, log }: ForwarderParts): FastifyInstance {
  const app = fastify({
    logger: false,
    serverFactory: (handle) => createBoundedServer(handle, CONNECTION_LIMITS),
    forceCloseConnections: true,
  });
  app.setErrorHandler((error, _request, reply) => {
    const problem = problemOf(asGatewayError(error));
    reply.code(problem.status).type(PROBLEM_TYPE).serializer(JSON.stringify).send(problem);
  });
  // All who reach it come from one address: a limit would let any account of this machine keep out the one with the token.
  requireToken(app, withoutLimit(token), log);
  addConsole(app);
  // Bodies are the daemon's to read, and to bound.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.all('/*', (incoming, reply) => {
    reply.hijack();
    forward(socket, incoming.raw, reply.raw);
    return reply;
  });
  return app;
}

function forward(socketPath: string, incoming: IncomingMessage, answer: ServerResponse): void {
  const { method = 'GET', url: path = '/', headers } = incoming;
  const asked = request({ socketPath, method, path, headers: forwarded(headers), agent: false });
  asked.once('response', (response) => {
    // It has no end, and the daemon sees to readers that don't read.
    if (response.headers['content-type'] === 'text/event-stream') leaveOpen(answer);
    answer.writeHead(response.statusCode ?? 502, forwarded(response.headers));
    response.once('error', () => answer.destroy());
    response.pipe(answer);
  });
  asked.on('error', (error) => refuse(answer, explained(socketPath, error)));
  answer.once('close', () => asked.destroy());
  incoming.pipe(asked);
}

function forwarded<T extends object>(headers: T): T {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_FORWARDED.has(name))) as T;
}

function refuse(answer: ServerResponse, error: GatewayError): void {
  if (answer.headersSent) {
    answer.destroy();
    return;
  }
  const problem = problemOf(error);
  answer.writeHead(problem.status, { 'content-type': PROBLEM_TYPE }).end(JSON.stringify(problem));
}

function explained(socket: string, error: unknown): GatewayError {
  const code = systemCode(error);
  if (code === 'EACCES' || code === 'EPERM') {
    return failure('DAEMON_UNREACHABLE', { socket, reason: reasonOf(error) }, error);
  }
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return failure('DAEMON_NOT_RUNNING', { socket }, error);
  return failure('DAEMON_ANSWER_INVALID', { socket, reason: reasonOf(error) }, error);
}
