/**
 * The description of the control API (OpenAPI 3.1), made from the routes and the schemas that check their requests and write their
 * answers. Imported by routes.ts alone.
 */
import { VERSION } from '../version.ts';
import { PROBLEM_TYPE } from './problem.ts';
import * as schemas from './schemas.ts';

/** A method of a resource, as routes.ts has it. */
interface Described {
  readonly summary: string;
  /** What else there is to know. */
  readonly description?: string;
  readonly status?: number;
  readonly answer?: object;
  readonly body?: object;
  readonly query?: Properties;
  readonly contentType?: string;
}

interface Properties {
  readonly type?: unknown;
  readonly properties: Readonly<Record<string, object>>;
}

/** As far as it is read here. */
export interface OpenApi {
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly [part: string]: unknown;
}

export interface DescribedResource {
  /** With parameters as `:name`. */
  readonly path: string;
  readonly params?: Properties;
  readonly operations: Readonly<Record<string, Described>>;
}

/** @param isOpen whether a path needs no token */
export function openApi(resources: readonly DescribedResource[], isOpen: (path: string) => boolean): OpenApi {
  return {
    openapi: '3.1.0',
    info: {
      title: 'session-gateway control API',
      version: VERSION,
      description: 'Errors are problem+json (RFC 9457); over TCP a bearer token is needed.',
    },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: schemas.problem, Stats: schemas.stats },
    },
    // None of the two over the Unix socket.
    security: [{ token: [] }, {}],
    paths: Object.fromEntries(
      resources.map((resource) => [templated(resource.path), pathItem(resource, isOpen(resource.path))]),
    ),
  };
}

function templated(path: string): string {
  return path.replaceAll(/:([a-z]+)/g, '{$1}');
}

function pathItem({ path, params, operations }: DescribedResource, isOpen: boolean): Readonly<Record<string, unknown>> {
  const described = Object.entries(operations).map(([method, operation]) => [
    method.toLowerCase(),
    { operationId: operationId(method, path), ...(isOpen ? { security: [] } : {}), ...operationObject(operation) },
  ]);
  return {
    ...(params === undefined ? {} : { parameters: parameters('path', params) }),
    ...Object.fromEntries(described),
  };
}

/** Of PATCH /v1/backends/:name: patchBackendsName */
function operationId(method: string, path: string): string {
  const words = path.match(/[a-z]+/g)?.filter((word) => word !== 'v') ?? [];
  return [method.toLowerCase(), ...words.map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`)].join('');
}

function operationObject({ summary, description, status = 200, answer, body, query, contentType }: Described): object {
  const type = contentType?.split(';')[0] ?? 'application/json';
  const content = status === 204 ? {} : { content: { [type]: { schema: answer ?? {} } } };
  return {
    summary,
    ...(description === undefined ? {} : { description }),
    ...(query === undefined ? {} : { parameters: parameters('query', query) }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: !mayBeNull(body), content: { 'application/json': { schema: body } } } }),
    responses: {
      [status]: { description: summary, ...content },
      default: {
        description: 'A problem.',
        content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

/** Then there may be none at all. */
function mayBeNull(schema: { readonly type?: unknown }): boolean {
  return [schema.type].flat().includes('null');
}

function parameters(place: 'path' | 'query', { properties }: Properties): object[] {
  return Object.entries(properties).map(([name, schema]) => ({ name, in: place, required: place === 'path', schema }));
}
