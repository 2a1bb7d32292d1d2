/**
 * The coded errors of the gateway: one catalogue, from which the command line takes its exit status, the control API its
 * HTTP status, and docs/errors.md its headings. May be imported by src/gateway only.
 *
 * Each message says what was found, what is allowed or needed, and what to do. None holds a secret or a session id.
 */
import { errorCatalogue } from './error-catalogue.ts';

type Catalogue = typeof errorCatalogue;

export type ErrorCode = keyof Catalogue;

/** What the message of an error is built from. */
export type ErrorDetails<C extends ErrorCode> = Parameters<Catalogue[C]['message']>[0];

/** 1 = failed, 2 = wrong usage or configuration. */
export type ExitStatus = 1 | 2;

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get title(): string {
    return errorCatalogue[this.code].title;
  }

  get exitStatus(): ExitStatus {
    return errorCatalogue[this.code].exitStatus;
  }

  get httpStatus(): number {
    return errorCatalogue[this.code].httpStatus;
  }
}

/** An error of the catalogue, to be thrown. */
export function failure<C extends ErrorCode>(code: C, details: ErrorDetails<C>, cause?: unknown): GatewayError {
  // Each builder takes the details of its own code, which is what ErrorDetails<C> says.
  const build = errorCatalogue[code].message as (details: ErrorDetails<C>) => string;
  return new GatewayError(code, build(details), cause === undefined ? {} : { cause });
}

/** The text of anything that was thrown; a system error's own text has its code and call. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}

/** The code of a Node.js system error (ENOENT, …), if it is one. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
