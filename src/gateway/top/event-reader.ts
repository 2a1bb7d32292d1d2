/**
 * Reads `GET /v1/events` over the control socket, and connects again when it was cut. May be imported by src/gateway/commands/top.ts and tests.
 */
import { type Runtime, sleep } from '../../sync/runtime.ts';
import { followDaemon } from '../control/event-client.ts';
import type { GatewayEvent } from '../ports.ts';

const AGAIN_MS = 1_000;

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
    await followDaemon(socket, '/v1/events', signal, (type, data) => {
      tell({ type, ...(data as object) } as SeenEvent);
    }).catch(() => undefined);
    await sleep(runtime, AGAIN_MS, signal);
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
