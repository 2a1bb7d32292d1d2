/**
 * Reads `GET /v1/events` over the control socket (server-sent events, HTML Living Standard, section 9.2), and connects again when it was
 * cut. May be imported by src/gateway/commands/top.ts and tests.
 */
import { request } from 'node:http';
import { type Runtime, sleep } from '../../sync/runtime.ts';
import type { GatewayEvent } from '../ports.ts';

const AGAIN_MS = 1_000;
/** Of one event. */
const EVENT_MAX_BYTES = 64 * 1024;

type Lost = { readonly type: 'lost'; readonly events: number };
export type SeenEvent = GatewayEvent | Lost;

/** Tells each event until `signal` is aborted. */
export async function readEvents(
  socket: string,
  runtime: Runtime,
  signal: AbortSignal,
  tell: (event: SeenEvent) => void,
): Promise<void> {
  while (!signal.aborted) {
    // Why it ended doesn't matter: whoever asks for the status sees that, too.
    await readOnce(socket, signal, tell).catch(() => undefined);
    await sleep(runtime, AGAIN_MS, signal);
  }
}

function readOnce(socket: string, signal: AbortSignal, tell: (event: SeenEvent) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, path: '/v1/events', signal, agent: false });
    asked.once('error', reject);
    asked.once('response', (response) => {
      response.once('close', resolve);
      response.once('error', reject);
      if (response.statusCode !== 200) {
        asked.destroy();
        return;
      }
      const reader = new EventParser(tell);
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        if (!reader.push(text)) asked.destroy();
      });
    });
    asked.end();
  });
}

/** Events out of the text of a stream, however that is cut into pieces. */
export class EventParser {
  readonly #tell: (event: SeenEvent) => void;
  #rest = '';

  constructor(tell: (event: SeenEvent) => void) {
    this.#tell = tell;
  }

  /** @returns false where an event has no end */
  push(text: string): boolean {
    const events = (this.#rest + text).split('\n\n');
    this.#rest = events.pop() ?? '';
    for (const event of events) this.#read(event);
    return this.#rest.length <= EVENT_MAX_BYTES;
  }

  #read(block: string): void {
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
    const [type, data] = [field('event'), field('data')];
    if (type === undefined || data === undefined) return;
    try {
      this.#tell({ type, ...JSON.parse(data) } as SeenEvent);
    } catch {
      // A later version's, or none of ours.
    }
  }
}

const NAMES_MAX = 5;

/** An event in words; undefined for one that is not known here. */
export function eventText(event: SeenEvent): string | undefined {
  switch (event.type) {
    case 'backends': {
      const others = event.names.length + event.others - Math.min(NAMES_MAX, event.names.length);
      return `backends changed: ${event.names.slice(0, NAMES_MAX).join(', ')}${others > 0 ? ` and ${others} more` : ''}`;
    }
    case 'fact':
      return `a fact was ${event.hex === null ? 'removed' : 'set'} (${event.nameHash.slice(0, 8)}…)`;
    case 'denied':
      return `${event.changes} ${event.changes === 1 ? 'session was' : 'sessions were'} denied or allowed again`;
    case 'state':
      return `${event.state}${event.ready ? ', ready' : ', not ready'}`;
    case 'lost':
      return `${event.events} events were left out`;
    default:
      return undefined;
  }
}
