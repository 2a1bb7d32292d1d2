/**
 * Errors as problem+json (RFC 9457): `type` and `code` name the error's section in docs/errors.md, `detail` is for people.
 * May be imported by src/gateway only.
 *
 * The framework's own messages may quote the request's path, and so a session id: none is passed on.
 */
import type { FastifyError, FastifySchemaValidationError } from 'fastify';
import { failure, GatewayError, reasonOf, systemCode } from '../errors.ts';
import { BODY_MAX_BYTES, HEADERS_MAX_BYTES, REQUEST_TIMEOUT_MS } from './limits.ts';

export const PROBLEM_TYPE = 'application/problem+json';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
}

export function problemOf(error: GatewayError): Problem {
  const { code, title, httpStatus, message } = error;
  return { type: `urn:session-gateway:error:${code}`, title, status: httpStatus, detail: message, code };
}

/** Whatever a request ended with, as an error of the catalogue. */
export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  switch (systemCode(error)) {
    case 'FST_ERR_VALIDATION':
      return failure('REQUEST_INVALID', { reason: reasonOf(error) }, error);
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return failure('BODY_TOO_LARGE', { maxBytes: BODY_MAX_BYTES });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return failure('MEDIA_TYPE_UNSUPPORTED', {});
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return failure('REQUEST_INVALID', { reason: 'body: found what is not JSON; allowed: a JSON object' });
    case 'FST_ERR_BAD_URL':
      return failure('REQUEST_INVALID', {
        reason: 'path: found a wrong percent-encoding; allowed: RFC 3986 over UTF-8',
      });
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return failure('REQUEST_INVALID', { reason: 'path: found a longer name or id than any can be' });
    default:
      if (isClientError(error)) return failure('REQUEST_INVALID', { reason: 'the request is not well-formed' }, error);
      return failure('INTERNAL', { reason: reasonOf(error) }, error);
  }
}

function isClientError(error: unknown): boolean {
  const status = error instanceof Error ? (error as Partial<FastifyError>).statusCode : undefined;
  return status !== undefined && status >= 400 && status < 500;
}

/** The framework's list of schema problems as one error; values are not quoted. */
export function schemaError(errors: readonly FastifySchemaValidationError[], part: string): Error {
  const problems = errors.map(({ instancePath, message, params }) => {
    const name = params['additionalProperty'];
    const values = params['allowedValues'];
    const which = typeof name === 'string' ? ` (${JSON.stringify(name.slice(0, 48))})` : '';
    const allowed = Array.isArray(values) ? `: ${values.join(', ')}` : '';
    return `${part}${instancePath.replaceAll('/', '.')} ${message ?? 'is not as it must be'}${which}${allowed}`;
  });
  return new RangeError(problems.join('; '));
}

/** What an HTTP parser's error (ERR_HTTP_*, HPE_*) is answered with: there is no request to reply to. */
export function clientError(error: unknown): GatewayError {
  switch (systemCode(error)) {
    case 'HPE_HEADER_OVERFLOW':
      return failure('HEADERS_TOO_LARGE', { maxBytes: HEADERS_MAX_BYTES });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return failure('REQUEST_TIMEOUT', { timeoutMs: REQUEST_TIMEOUT_MS });
    default:
      return failure('REQUEST_INVALID', { reason: 'found what is not HTTP/1.1' });
  }
}
