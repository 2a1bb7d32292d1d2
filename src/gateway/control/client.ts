/**
 * The command line's side of the control API: one request over the Unix socket, bounded in time and in size, its errors
 * turned back into what they said. May be imported by src/gateway only.
 */
import { type IncomingMessage, request } from 'node:http';
import { failure, GatewayError, reasonOf, systemCode } from '../errors.ts';
import { ANSWER_MAX_BYTES } from './limits.ts';

const TIMEOUT_MS = 15_000;

export interface ControlRequest {
  readonly method: 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE';
  /** With names and ids percent-encoded. */
  readonly path: string;
  readonly body?: object;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * Asks the daemon behind a socket.
 * @returns the answer's JSON; undefined where it has none (204)
 * @throws GatewayError DAEMON_NOT_RUNNING, DAEMON_UNREACHABLE, DAEMON_SILENT, DAEMON_ANSWER_INVALID, or DAEMON_REFUSED
 * with the daemon's own code and words
 */
export async function askDaemon(
  socket: string,
  what: ControlRequest,
  timeoutMs: number = TIMEOUT_MS,
): Promise<unknown> {
  const { status, text } = await exchange(socket, what, timeoutMs);
  if (status === 204) return undefined;
  if (status >= 200 && status < 300) return parse(socket, text);
  throw refusal(socket, status, text);
}

/** What an answer says that isn't the one asked for. */
export function refusal(socket: string, status: number, text: string): GatewayError {
  const json = parse(socket, text);
  const { code, detail } = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>;
  if (typeof code !== 'string' || typeof detail !== 'string') {
    return failure('DAEMON_ANSWER_INVALID', { socket, reason: `HTTP status ${status} without a problem` });
  }
  return failure('DAEMON_REFUSED', { code, detail });
}

function parse(socket: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw failure('DAEMON_ANSWER_INVALID', { socket, reason: 'its answer is not JSON' }, error);
  }
}

function exchange(socket: string, { method, path, body }: ControlRequest, timeoutMs: number): Promise<Answer> {
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const headers =
    sent === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) };
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, method, path, headers, signal, agent: false });
    asked.once('response', (response) => read(socket, response).then(resolve, fail));
    asked.once('error', fail);
    asked.end(sent);

    function fail(error: unknown): void {
      asked.destroy();
      reject(explained(socket, error, signal.aborted ? timeoutMs : undefined));
    }
  });
}

async function read(socket: string, response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > ANSWER_MAX_BYTES) {
      throw failure('DAEMON_ANSWER_INVALID', { socket, reason: `its answer has more than ${ANSWER_MAX_BYTES} bytes` });
    }
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') };
}

/** What went wrong on the way to the daemon. */
export function explained(socket: string, error: unknown, timeoutMs: number | undefined): GatewayError {
  if (error instanceof GatewayError) return error;
  if (timeoutMs !== undefined) return failure('DAEMON_SILENT', { socket, timeoutMs }, error);
  const code = systemCode(error);
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return failure('DAEMON_NOT_RUNNING', { socket }, error);
  if (code === 'EACCES' || code === 'EPERM')
    return failure('DAEMON_UNREACHABLE', { socket, reason: reasonOf(error) }, error);
  return failure('DAEMON_ANSWER_INVALID', { socket, reason: reasonOf(error) }, error);
}
