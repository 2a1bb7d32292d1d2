/** The last minutes of rates, second by second, from the counters that the gateway's figures have. Pure. */
import { GROUPS, ratesBetween } from './verdicts.js';

/** Seconds that are kept. */
export const KEPT = 300;
/** Over how many of them the figures in words are an average, so that they can be read. */
const SMOOTHED = 3;

export class History {
  /** { timeMs, rates, latency } each, the oldest first; `rates` null where there is a gap. */
  points = [];
  /** By id of a key, requests a second signed with it; none where it isn't known. */
  keyRates = new Map();
  #last;

  /** @param stats of the gateway. @param timeMs Unix ms */
  add(stats, timeMs) {
    const reading = {
      atMs: stats.atMs,
      packets: stats.status.packets,
      responder: stats.status.responder,
      startedAt: stats.status.startedAt,
      keys: stats.status.keys,
    };
    // Another daemon has another clock.
    const isSame = this.#last?.startedAt === reading.startedAt;
    const rates = isSame ? ratesBetween(this.#last, reading) : null;
    if (!isSame || rates !== null || reading.atMs > this.#last.atMs) this.#push({ timeMs, rates });
    this.keyRates = isSame ? keyRates(this.#last, reading) : new Map();
    this.#last = reading;
  }

  /** Nothing is known of the time that comes. */
  gap(timeMs) {
    if (this.points.at(-1)?.rates) this.#push({ timeMs, rates: null });
    this.#last = undefined;
  }

  /** @param over seconds. @returns the average of the last ones that are known; null where none is */
  average(over = SMOOTHED) {
    const known = this.points.slice(-over).filter(({ rates }) => rates !== null);
    if (known.length === 0) return null;
    return Object.fromEntries(
      GROUPS.map(({ id }) => [id, known.reduce((sum, { rates }) => sum + rates[id], 0) / known.length]),
    );
  }

  #push(point) {
    this.points.push(point);
    if (this.points.length > KEPT) this.points.shift();
  }
}

function keyRates(before, after) {
  const inSeconds = (after.atMs - before.atMs) / 1000;
  const earlier = new Map(before.keys.map(({ id, uses }) => [id, uses]));
  const rates = after.keys.map(({ id, uses }) => [id, (uses - earlier.get(id)) / inSeconds]);
  return new Map(rates.filter(([, rate]) => rate >= 0 && Number.isFinite(rate)));
}
