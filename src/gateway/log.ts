/**
 * The log: one JSON object a line on standard output, whatever that is connected to (pino's format; `level` by name,
 * `time` as in RFC 3339). May be imported by src/gateway only.
 *
 * No line has a secret or a session id: nobody logs either, and what an error carries besides its words (ioredis keeps
 * the command with its arguments) is left out.
 */
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';
import { systemCode } from './errors.ts';
import type { LogLevel } from './log-levels.ts';

export type { Logger } from 'pino';

/** Names whose values are never written, at the top and one level down. */
const HIDDEN = ['secret', 'password', 'token', 'sid', 'sessionId'];
const CAUSES_MAX = 5;

interface LoggedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: LoggedError;
}

/** @param stream where lines go; standard output, written at once, when left out */
export function createLogger(level: LogLevel, stream: DestinationStream = destination({ fd: 1, sync: true })): Logger {
  const options = {
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }), bindings: ({ pid }: { pid?: number }) => ({ pid }) },
    redact: { paths: HIDDEN.flatMap((name) => [name, `*.${name}`]), censor: '***' },
    serializers: { err: (error: unknown) => loggedError(error, CAUSES_MAX) },
  };
  return pino(options, stream);
}

function loggedError(error: unknown, causesLeft: number): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const code = systemCode(error);
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || causesLeft === 0 ? {} : { cause: loggedError(error.cause, causesLeft - 1) }),
  };
}
