/**
 * The resources of the control API and what each method does: a thin layer over the port `Gateway`.
 * Imported by server.ts alone.
 */
import type { FastifyInstance, FastifySchema, HTTPMethods } from 'fastify';
import type { BackendPatch } from '../../sync/functions.ts';
import { SID_MAX_BYTES } from '../../sync/limits.ts';
import { failure } from '../errors.ts';
import type { Gateway } from '../ports.ts';
import type { Metrics } from './metrics.ts';
import * as schemas from './schemas.ts';

const METHODS = ['GET', 'PUT', 'PATCH', 'POST', 'DELETE'] as const satisfies HTTPMethods[];
type Method = (typeof METHODS)[number];

interface Operation {
  readonly summary: string;
  readonly status?: number;
  /** Left out where the answer is not JSON. */
  readonly answer?: object;
  readonly body?: object;
  readonly handle: (request: Request) => unknown;
  /** Content type of the answer, where that is not JSON. */
  readonly contentType?: string;
}

interface Request {
  readonly params: Readonly<Record<string, string>>;
  /** As the operation's schema says. */
  readonly body: unknown;
}

interface Resource {
  readonly path: string;
  readonly params?: object;
  readonly operations: Partial<Record<Method, Operation>>;
}

/** What a new backend has where nothing else is said. */
const BACKEND_DEFAULTS = { state: 'active', weight: 100, shed: 0 } as const;

export function addRoutes(app: FastifyInstance, gateway: Gateway, metrics: Metrics): void {
  for (const resource of resources(gateway, metrics)) addResource(app, resource);
}

function addResource(app: FastifyInstance, { path, params, operations }: Resource): void {
  const allowed = METHODS.filter((method) => operations[method] !== undefined);
  for (const method of allowed) {
    const operation = operations[method];
    if (operation === undefined) continue;
    const { summary, status = 200, answer, body, handle, contentType } = operation;
    const schema: FastifySchema & { summary: string } = {
      summary,
      ...(params === undefined ? {} : { params }),
      ...(body === undefined ? {} : { body }),
      response: {
        ...(answer === undefined ? {} : { [status]: answer }),
        '4xx': schemas.problem,
        '5xx': schemas.problem,
      },
    };
    app.route({
      method,
      url: path,
      schema,
      handler: async (request, reply) => {
        const result = await handle({ params: request.params as Record<string, string>, body: request.body });
        reply.code(status);
        if (contentType !== undefined) reply.type(contentType);
        return result;
      },
    });
  }
  app.route({
    method: METHODS.filter((method) => !allowed.includes(method)),
    url: path,
    handler: async (request, reply) => {
      reply.header('allow', allowed.join(', '));
      throw failure('METHOD_NOT_ALLOWED', { method: request.method, allowed: allowed.join(', ') });
    },
  });
}

function resources(gateway: Gateway, metrics: Metrics): Resource[] {
  const nameOf = ({ params }: Request): string => params['name'] ?? '';
  return [
    {
      path: '/healthz',
      operations: {
        GET: { summary: 'The daemon runs.', answer: schemas.health, handle: () => ({ ok: true }) },
      },
    },
    {
      path: '/readyz',
      operations: {
        GET: {
          summary: "The daemon's own first load is in.",
          answer: schemas.readiness,
          handle: () => {
            if (!gateway.status().ready) throw failure('NOT_READY', {});
            return { ready: true };
          },
        },
      },
    },
    {
      path: '/metrics',
      operations: {
        GET: { summary: 'Metrics for Prometheus.', contentType: metrics.contentType, handle: () => metrics.text() },
      },
    },
    {
      path: '/v1/status',
      operations: {
        GET: { summary: 'What the gateway is doing.', answer: schemas.status, handle: () => gateway.status() },
      },
    },
    {
      path: '/v1/keys',
      operations: {
        GET: { summary: 'Keys in force.', answer: schemas.keyList, handle: () => ({ keys: gateway.keys() }) },
      },
    },
    {
      path: '/v1/keys/reload',
      operations: {
        POST: { summary: 'Reads the key file again.', answer: schemas.keyReload, handle: () => gateway.reloadKeys() },
      },
    },
    {
      path: '/v1/backends',
      operations: {
        GET: {
          summary: 'All backends.',
          answer: schemas.backendList,
          handle: () => gateway.backends(),
        },
      },
    },
    {
      path: '/v1/backends/:name',
      params: schemas.backendParams,
      operations: {
        PUT: {
          summary: 'Makes a backend, or makes it exactly this.',
          body: schemas.backendPut,
          answer: schemas.backend,
          handle: (request) => {
            const fields = request.body as BackendPatch;
            return gateway.patchBackend(nameOf(request), { ...BACKEND_DEFAULTS, ...fields });
          },
        },
        PATCH: {
          summary: 'Changes these fields of a backend.',
          body: schemas.backendPatch,
          answer: schemas.backend,
          handle: (request) => {
            return gateway.patchBackend(nameOf(request), request.body as BackendPatch);
          },
        },
        DELETE: {
          summary: 'Removes a backend; its id stays taken.',
          status: 204,
          answer: schemas.nothing,
          handle: (request) => gateway.removeBackend(nameOf(request)),
        },
      },
    },
    {
      path: '/v1/sessions/:sid',
      params: schemas.sessionParams,
      operations: {
        GET: {
          summary: 'What Redis and the kernel hold for a session.',
          answer: schemas.session,
          handle: async (request) => {
            const view = await gateway.session(sessionIdOf(request));
            if (view.redis === null && view.kernel === null) throw failure('SESSION_UNKNOWN', {});
            return view;
          },
        },
        PUT: {
          summary: 'Stores a session, in Redis and in its feed.',
          body: schemas.sessionPut,
          status: 204,
          answer: schemas.nothing,
          handle: (request) => {
            const { backend, ttlMs } = request.body as { backend: string; ttlMs: number };
            return gateway.setSession(sessionIdOf(request), backend, ttlMs);
          },
        },
        DELETE: {
          summary: 'Ends a session, in Redis and in its feed.',
          status: 204,
          answer: schemas.nothing,
          handle: (request) => gateway.removeSession(sessionIdOf(request)),
        },
      },
    },
  ];
}

/** The schema counts characters; what is bounded are bytes. */
function sessionIdOf({ params }: Request): string {
  const sid = params['sid'] ?? '';
  if (Buffer.byteLength(sid) > SID_MAX_BYTES) {
    throw failure('SESSION_ID_INVALID', { found: `more than ${SID_MAX_BYTES} bytes` });
  }
  return sid;
}
