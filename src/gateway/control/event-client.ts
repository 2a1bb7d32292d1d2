/**
 * The command line's side of the control API's event streams: events as they come, until the caller has had enough. Imported by
 * commands and ../top/event-reader.ts.
 */
import { type IncomingMessage, request } from 'node:http';
import { failure, GatewayError } from '../errors.ts';
import { explained, refusal } from './client.ts';
import { EventParser } from './event-parser.ts';
import { ANSWER_MAX_BYTES } from './limits.ts';

/** Of the daemon, without a word. It says something every 15 s. */
const SILENCE_MAX_MS = 60_000;

/**
 * @param path with its query
 * @param take given each event
 * @param opened called once events may come
 * @returns once `signal` is aborted
 * @throws GatewayError as askDaemon does, DAEMON_ANSWER_INVALID also where the daemon ends the stream
 */
export async function followDaemon(
  socket: string,
  path: string,
  signal: AbortSignal,
  take: (type: string, data: unknown) => void,
  opened: () => void = () => undefined,
): Promise<void> {
  if (signal.aborted) return;
  try {
    const response = await begin(socket, path, signal);
    if (response.statusCode !== 200) throw refusal(socket, response.statusCode ?? 0, await textOf(response));
    opened();
    const parser = new EventParser((type, data) => {
      if (!signal.aborted) take(type, JSON.parse(data));
    });
    for await (const text of response.setEncoding('utf8') as AsyncIterable<string>) parser.push(text);
    if (!signal.aborted) throw new Error('the stream has ended: the daemon was stopped, or found this reader too slow');
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof GatewayError) throw error;
    throw explained(socket, error, undefined);
  }
}

function begin(socket: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, path, signal, agent: false, timeout: SILENCE_MAX_MS }, resolve);
    asked.once('timeout', () => asked.destroy(failure('DAEMON_SILENT', { socket, timeoutMs: SILENCE_MAX_MS })));
    asked.on('error', reject);
    asked.end();
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk;
    if (text.length > ANSWER_MAX_BYTES) break;
  }
  return text;
}
