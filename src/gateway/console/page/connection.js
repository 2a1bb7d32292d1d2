/**
 * Follows the gateway's events, and connects again for as long as the page is open: after a cut, a refusal, or silence. Clock, sleep and
 * randomness are passed in. Imported by main.js and tests.
 */
import { eventParser } from './sse.js';

/** Figures come once a second: with none for so long, the gateway is away whatever the connection says. */
export const SILENCE_MS = 8_000;
const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 8_000;

/**
 * @param open opens the stream; its reader gives text
 * @param onEvent given each event
 * @param onAway told why there is none, and when the next try is
 * @param wait resolves after so many ms, or when the page wants it now
 * @returns when the token was refused: who asks must have another
 */
export async function follow({ open, onEvent, onAway, wait, random, timer, signal }) {
  let failures = 0;
  while (!signal.aborted) {
    const ending = new AbortController();
    let cancel = () => {};
    const expectMore = () => {
      cancel();
      cancel = timer(SILENCE_MS, () => ending.abort(new Error('it is silent')));
    };
    let reason = 'it has ended the connection';
    try {
      expectMore();
      const reader = await open(AbortSignal.any([ending.signal, signal]));
      const parse = eventParser();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        for (const event of parse(piece.value)) {
          if (event.type === 'stats') {
            failures = 0;
            expectMore();
          }
          onEvent(event);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) throw error;
      reason = ending.signal.aborted ? ending.signal.reason.message : error.message;
    } finally {
      cancel();
      // Of a reader that isn't read to its end the connection would stay.
      ending.abort();
    }
    const step = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** Math.min(failures, 10));
    failures += 1;
    const pauseMs = (step / 2) * (1 + random());
    onAway(reason, pauseMs);
    await wait(pauseMs, signal);
  }
}
