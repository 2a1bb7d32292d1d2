/**
 * The resources of the control API and what each method does: a thin layer over the port `Gateway`.
 * Imported by server.ts alone.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifySchema, HTTPMethods } from 'fastify';
import { SID_MAX_BYTES } from '../../sync/limits.ts';
import type { BackendPatch } from '../../sync/redis/functions.ts';
import { failure } from '../errors.ts';
import type { Gateway, Stats, TraceFilter } from '../ports.ts';
import { SETTLE_RATE_DEFAULT } from '../settle-rates.ts';
import { OPEN } from './authentication.ts';
import type { EventStream } from './event-stream.ts';
import { USE_SEARCH_MS } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { type DescribedResource, type OpenApi, openApi } from './openapi.ts';
import * as schemas from './schemas.ts';
import { traceFilter } from './trace-filter.ts';

const METHODS = ['GET', 'PUT', 'PATCH', 'POST', 'DELETE'] as const satisfies HTTPMethods[];
type Method = (typeof METHODS)[number];

interface Operation {
  readonly summary: string;
  /** What else there is to know. */
  readonly description?: string;
  readonly status?: number;
  /** Left out where the answer is not JSON. */
  readonly answer?: object;
  readonly body?: object;
  readonly query?: Schema;
  readonly handle: (request: Request) => unknown;
  /** Content type of the answer, where that is not JSON. */
  readonly contentType?: string;
  /** Of an answer without an end: given what `handle` returned, when it had nothing against it. */
  readonly stream?: (response: ServerResponse, handled: unknown, statsText: (stats: Stats) => string) => void;
}

interface Schema {
  readonly properties: Readonly<Record<string, object>>;
}

interface Request {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** As the operation's schema says. */
  readonly body: unknown;
}

interface Resource {
  readonly path: string;
  readonly params?: Schema;
  readonly operations: Partial<Record<Method, Operation>>;
}

/** What a new backend has where nothing else is said. */
const BACKEND_DEFAULTS = { state: 'active', weight: 100, shed: 0 } as const;

export function addRoutes(app: FastifyInstance, gateway: Gateway, metrics: Metrics, events: EventStream): void {
  const served = resources(gateway, metrics, events);
  for (const resource of [...served, description(served)]) addResource(app, resource);
}

function description(served: readonly Resource[]): Resource {
  const described: Resource[] = [];
  const GET = { summary: 'This description.', handle: () => descriptionOf(described) };
  const own: Resource = { path: '/openapi.json', operations: { GET } };
  described.push(...served, own);
  return own;
}

function descriptionOf(described: readonly Resource[]): OpenApi {
  return openApi(described as readonly DescribedResource[], (path) => OPEN.has(path));
}

/** What is served at /openapi.json, of no gateway in particular: nothing is asked of one before a request comes. */
export function apiDescription(): OpenApi {
  const metrics: Metrics = { contentType: 'text/plain', text: async () => '' };
  const served = resources({} as Gateway, metrics, {} as EventStream);
  return descriptionOf([...served, description(served)]);
}

function addResource(app: FastifyInstance, { path, params, operations }: Resource): void {
  const allowed = METHODS.filter((method) => operations[method] !== undefined);
  for (const method of allowed) {
    const operation = operations[method];
    if (operation === undefined) continue;
    const { summary, status = 200, answer, body, query, handle, contentType, stream } = operation;
    const schema: FastifySchema & { summary: string } = {
      summary,
      ...(params === undefined ? {} : { params }),
      ...(body === undefined ? {} : { body }),
      ...(query === undefined ? {} : { querystring: query }),
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
      exposeHeadRoute: stream === undefined,
      handler: async (request, reply) => {
        const result = await handle({
          params: request.params as Record<string, string>,
          query: request.query as Record<string, string>,
          body: request.body,
        });
        if (stream !== undefined) {
          const textOf = reply.compileSerializationSchema(schemas.stats);
          // What is refused here is answered as what `handle` refuses.
          stream(reply.raw, result, (stats) => textOf({ ...stats }));
          reply.hijack();
          return reply;
        }
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

function resources(gateway: Gateway, metrics: Metrics, events: EventStream): Resource[] {
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
          summary: 'Removes a backend that no session is stored on, or any with ?force=true; its id stays taken.',
          status: 204,
          query: schemas.backendDelete,
          answer: schemas.nothing,
          handle: (request) => {
            const force = request.query['force'] === 'true';
            return gateway.removeBackend(nameOf(request), { force, withinMs: USE_SEARCH_MS });
          },
        },
      },
    },
    {
      path: '/v1/settle',
      operations: {
        GET: {
          summary: 'The settling of a backend that runs, or ran last.',
          answer: schemas.lastSettle,
          handle: () => ({ settle: gateway.settle() }),
        },
        POST: {
          summary: 'Starts to write where the users of a backend are answered to now into their records.',
          body: schemas.settlePost,
          status: 202,
          answer: schemas.settle,
          handle: (request) => {
            const { backend, rate = SETTLE_RATE_DEFAULT } = request.body as { backend: string; rate?: number };
            return gateway.startSettle(backend, rate);
          },
        },
        DELETE: {
          summary: 'Stops settling; what is moved stays moved.',
          status: 204,
          answer: schemas.nothing,
          handle: () => gateway.stopSettle(),
        },
      },
    },
    {
      path: '/v1/fleet',
      operations: {
        GET: {
          summary: 'The gateways of this Redis, as each says of itself there.',
          answer: schemas.fleet,
          handle: () => gateway.fleet(),
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
          summary: 'Stores a session with ttlMs, or moves one without; in Redis and in its feed.',
          body: schemas.sessionPut,
          status: 204,
          answer: schemas.nothing,
          handle: async (request) => {
            const { backend, ttlMs } = request.body as { backend: string; ttlMs?: number };
            if (ttlMs === undefined) await gateway.moveSession(sessionIdOf(request), backend);
            else await gateway.setSession(sessionIdOf(request), backend, ttlMs);
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
    {
      path: '/v1/denied/:sid',
      params: schemas.sessionParams,
      operations: {
        PUT: {
          summary: 'Revokes a session, stored or not: for forMs, or for good.',
          body: schemas.deniedPut,
          answer: schemas.denied,
          handle: (request) => {
            const { forMs = null } = (request.body ?? {}) as { forMs?: number };
            return gateway.denySession(sessionIdOf(request), forMs);
          },
        },
        DELETE: {
          summary: 'Allows a session again.',
          status: 204,
          answer: schemas.nothing,
          handle: (request) => gateway.allowSession(sessionIdOf(request)),
        },
      },
    },
    {
      path: '/v1/facts/:name',
      params: schemas.factParams,
      operations: {
        GET: { summary: 'A fact.', answer: schemas.fact, handle: (request) => gateway.fact(nameOf(request)) },
        PUT: {
          summary: 'Sets a fact, to at most 24 bytes.',
          body: schemas.factPut,
          answer: schemas.fact,
          handle: (request) => gateway.setFact(nameOf(request), (request.body as { value: string }).value),
        },
        DELETE: {
          summary: 'Removes a fact.',
          status: 204,
          answer: schemas.nothing,
          handle: (request) => gateway.removeFact(nameOf(request)),
        },
      },
    },
    {
      path: '/v1/events',
      operations: {
        GET: {
          summary: 'What changes from now on, as server-sent events.',
          description:
            'Events: `backends`, `fact`, `denied`, `state`, and `lost` for a reader that was too slow ([Moving users](moving-users.md#events)); with `?stats=true` also `stats`, all figures, once a second: `atMs`, `status`, `fleet` and `settle`, as their resources have them.',
          query: schemas.eventsQuery,
          contentType: 'text/event-stream',
          handle: ({ query }) => {
            events.requirePlace();
            return query['stats'] === 'true';
          },
          stream: (response, hasStats, statsText) => events.serve(response, hasStats ? statsText : undefined),
        },
      },
    },
    {
      path: '/v1/trace',
      operations: {
        GET: {
          summary:
            'Packets and what became of them, from now on: packet, and lost for those that were too many. For one reader at a time.',
          query: schemas.traceQuery,
          contentType: 'text/event-stream',
          handle: ({ query }) => traceFilter(query),
          stream: (response, filter) => events.serveTrace(response, filter as TraceFilter),
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
