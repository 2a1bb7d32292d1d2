/**
 * The description of the control API (OpenAPI 3.1), made from the routes and their schemas. Imported by routes.ts alone.
 */
import { VERSION } from '../version.ts';
import { PROBLEM_TYPE } from './problem.ts';
import * as schemas from './schemas.ts';

/** A method of a resource, as routes.ts has it. */
interface Described {
  readonly summary: string;
  readonly status?: number;
  readonly answer?: object;
  readonly body?: object;
  readonly query?: Properties;
  readonly contentType?: string;
}

interface Properties {
  readonly properties: Readonly<Record<string, object>>;
}

export interface DescribedResource {
  /** With parameters as `:name`. */
  readonly path: string;
  readonly params?: Properties;
  readonly operations: Readonly<Record<string, Described>>;
}

export function openApi(resources: readonly DescribedResource[]): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'session-gateway control API',
      version: VERSION,
      description: 'Errors are problem+json (RFC 9457); over TCP a bearer token is needed.',
    },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: schemas.problem },
    },
    security: [{ token: [] }, {}],
    paths: Object.fromEntries(resources.map((resource) => [templated(resource.path), pathItem(resource)])),
  };
}

function templated(path: string): string {
  return path.replaceAll(/:([a-z]+)/g, '{$1}');
}

function pathItem({ params, operations }: DescribedResource): object {
  const described = Object.entries(operations).map(([method, operation]) => [
    method.toLowerCase(),
    operationObject(operation),
  ]);
  return {
    ...(params === undefined ? {} : { parameters: parameters('path', params) }),
    ...Object.fromEntries(described),
  };
}

function operationObject({ summary, status = 200, answer, body, query, contentType }: Described): object {
  const type = contentType?.split(';')[0] ?? 'application/json';
  const content = status === 204 ? {} : { content: { [type]: { schema: answer ?? {} } } };
  return {
    summary,
    ...(query === undefined ? {} : { parameters: parameters('query', query) }),
    ...(body === undefined ? {} : { requestBody: { content: { 'application/json': { schema: body } } } }),
    responses: {
      [status]: { description: summary, ...content },
      default: {
        description: 'A problem.',
        content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

function parameters(place: 'path' | 'query', { properties }: Properties): object[] {
  return Object.entries(properties).map(([name, schema]) => ({ name, in: place, required: place === 'path', schema }));
}
