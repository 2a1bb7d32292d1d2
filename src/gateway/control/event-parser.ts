/**
 * Server-sent events (HTML Living Standard, section 9.2, as far as the daemon uses it) out of the text of a stream, however
 * that is cut into pieces. Imported by event-client.ts and tests.
 */

/** Of an event; the daemon's have less than 20 KiB. */
const EVENT_MAX_CHARACTERS = 1 << 20;

export class EventParser {
  readonly #take: (type: string, data: string) => void;
  #rest = '';

  constructor(take: (type: string, data: string) => void) {
    this.#take = take;
  }

  /** @throws RangeError where an event has no end */
  push(text: string): void {
    const parts = (this.#rest + text).split('\n\n');
    this.#rest = parts.pop() ?? '';
    if (this.#rest.length > EVENT_MAX_CHARACTERS) {
      throw new RangeError(`found an event of over ${EVENT_MAX_CHARACTERS} characters`);
    }
    for (const part of parts) {
      const [, type, data] = /^event: (.*)\ndata: (.*)$/.exec(part) ?? [];
      // All else is a comment: a sign of life.
      if (type !== undefined && data !== undefined) this.#take(type, data);
    }
  }
}
