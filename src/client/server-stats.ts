/** What can be seen of one gateway from outside. May be imported by src/client and the floors above. */
import type { Standing } from './server-memory.ts';

export interface ServerStats {
  /** As configured, host:port. */
  readonly server: string;
  readonly socket: 'closed' | 'opening' | 'open';
  /** Whether it is in turn, or asked last for a moment after a stale or a missing answer. */
  readonly standing: Standing;
  /** Requests. */
  readonly tries: number;
  /** Authentic replies that a try waited for. */
  readonly replies: number;
  /** Datagrams that were not the authentic reply to a waiting try: forged, late, repeated, or of another version. */
  readonly ignored: number;
  /** Tries unanswered for `tryTimeoutMs`. */
  readonly silent: number;
  /** Tries that could not be sent, or that the other machine reported to have no receiver. */
  readonly refused: number;
  /** Sockets opened so far. */
  readonly opened: number;
  /** Message of the last error of the socket or of resolving the name; null = none so far. */
  readonly lastError: string | null;
}
