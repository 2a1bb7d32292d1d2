/**
 * `GET /v1/events` and `GET /v1/trace`: server-sent events (HTML Living Standard, section 9.2). What a reader has not taken is bounded: past
 * that it loses events, and is told how many once it reads again; one that takes nothing for a minute is cut. A reader of
 * events that asks for them is given figures once a second, made once for all of them. Imported by app.ts and routes.ts alone.
 */
import type { ServerResponse } from 'node:http';
import { failure } from '../errors.ts';
import type { Gateway, GatewayEvent, Stats, TraceFilter } from '../ports.ts';
import { leaveOpen } from './connections.ts';

export interface EventLimits {
  readonly readersMax: number;
  /** Of one reader, not yet taken. */
  readonly queueMaxBytes: number;
  readonly beatMs: number;
  /** Beats in which a reader takes nothing, before it is cut. */
  readonly idleBeatsMax: number;
  readonly statsEveryMs: number;
}

export const EVENT_LIMITS: EventLimits = {
  readersMax: 16,
  queueMaxBytes: 256 * 1024,
  beatMs: 15_000,
  idleBeatsMax: 4,
  statsEveryMs: 1_000,
};

type Source = Pick<Gateway, 'subscribe' | 'stats' | 'trace'>;

export class EventStream {
  readonly #gateway: Source;
  readonly #limits: EventLimits;
  /** Each is given the same text. */
  readonly #statsReaders = new Set<(text: string) => void>();
  #statsTimer: NodeJS.Timeout | undefined;
  #readers = 0;
  readonly #open = new Set<ServerResponse>();

  constructor(gateway: Source, limits: EventLimits = EVENT_LIMITS) {
    this.#gateway = gateway;
    this.#limits = limits;
  }

  /** @throws GatewayError EVENTS_BUSY */
  requirePlace(): void {
    const { readersMax } = this.#limits;
    if (this.#readers >= readersMax) throw failure('EVENTS_BUSY', { max: readersMax });
  }

  /**
   * Serves until the reader goes, or is cut.
   * @param textOf makes the figures' JSON; undefined = the reader doesn't ask for them
   */
  serve(response: ServerResponse, textOf?: (stats: Stats) => string): void {
    this.#readers += 1;
    // Who doesn't keep up misses some of them and nothing with it: the next ones say all that these did.
    const tellStats = (text: string): void => {
      if (response.writableLength <= this.#limits.queueMaxBytes) response.write(text);
    };
    this.#stream(response, ({ tell }) => {
      const unsubscribe = this.#gateway.subscribe(({ type, ...data }: GatewayEvent) => tell(type, data));
      if (textOf !== undefined) this.#addStatsReader(tellStats, textOf);
      return () => {
        unsubscribe();
        this.#removeStatsReader(tellStats);
        this.#readers -= 1;
      };
    });
  }

  /** `GET /v1/trace`: packets as they come. @throws GatewayError TRACE_BUSY, before anything is written */
  serveTrace(response: ServerResponse, filter: TraceFilter): void {
    let teller: EventTeller | undefined;
    const end = this.#gateway.trace(filter, {
      packet: (event) => teller?.tell('packet', event),
      lost: (packets) => teller?.lose(packets),
    });
    this.#stream(response, (told) => {
      teller = told;
      return end;
    });
  }

  /** Cuts every reader. */
  cut(): void {
    for (const response of this.#open) response.destroy();
  }

  #stream(response: ServerResponse, begin: (teller: EventTeller) => () => void): void {
    this.#open.add(response);
    streamEvents(response, this.#limits, (teller) => {
      const end = begin(teller);
      return () => {
        this.#open.delete(response);
        end();
      };
    });
  }

  /** The first figures come at once. */
  #addStatsReader(reader: (text: string) => void, textOf: (stats: Stats) => string): void {
    const make = (): string => {
      try {
        return `event: stats\ndata: ${textOf(this.#gateway.stats())}\n\n`;
      } catch {
        // A map that can't be read this time is no end of the daemon; GET /v1/status says why.
        return '';
      }
    };
    reader(make());
    this.#statsReaders.add(reader);
    this.#statsTimer ??= setInterval(() => {
      const text = make();
      for (const each of this.#statsReaders) each(text);
    }, this.#limits.statsEveryMs);
  }

  #removeStatsReader(reader: (text: string) => void): void {
    this.#statsReaders.delete(reader);
    if (this.#statsReaders.size > 0) return;
    clearInterval(this.#statsTimer);
    this.#statsTimer = undefined;
  }
}

interface EventTeller {
  tell(type: string, data: object): void;
  /** So many events more were left out. */
  lose(events: number): void;
}

/** @param begin @returns what ends it */
function streamEvents(
  response: ServerResponse,
  { queueMaxBytes, beatMs, idleBeatsMax }: EventLimits,
  begin: (teller: EventTeller) => () => void,
): void {
  leaveOpen(response);
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': events of session-gateway\n\n');
  let lost = 0;
  let idleBeats = 0;

  const tell = (type: string, data: object): void => {
    if (response.writableLength > queueMaxBytes) {
      lost += 1;
      return;
    }
    tellLost();
    response.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  const tellLost = (): void => {
    if (lost > 0) response.write(`event: lost\ndata: ${JSON.stringify({ events: lost })}\n\n`);
    lost = 0;
  };
  const lose = (events: number): void => {
    lost += events;
    if (response.writableLength <= queueMaxBytes) tellLost();
  };
  const beat = (): void => {
    idleBeats = response.writableLength > 0 ? idleBeats + 1 : 0;
    if (idleBeats >= idleBeatsMax) response.destroy();
    else if (idleBeats === 0) {
      tellLost();
      response.write(':\n\n');
    }
  };
  const end = begin({ tell, lose });
  const timer = setInterval(beat, beatMs);
  const finish = (): void => {
    clearInterval(timer);
    end();
  };
  response.once('error', () => undefined);
  // Who is gone already says so no more.
  if (response.closed) finish();
  else response.once('close', finish);
}
