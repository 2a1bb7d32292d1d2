/** How long a resync waits for the next one, on a clock that the test holds. */
import { expect, it } from 'vitest';
import type { Runtime } from '../../../src/sync/runtime.ts';
import { Resync } from '../../../src/sync/snapshot/resync.ts';
import type { Snapshot } from '../../../src/sync/snapshot/snapshot.ts';
import { DEFAULT_TUNING } from '../../../src/sync/tuning.ts';
import { until } from '../harness.ts';

/** Time passes only where somebody sleeps, and to the end of that sleep at once. */
class SleptClock implements Runtime {
  nowMs = 0;
  wallMs = (): number => this.nowMs;
  monotonicMs = (): number => this.nowMs;
  random = (): number => 0.5;
  timer(ms: number, callback: () => void): () => void {
    const handle = setImmediate(() => {
      this.nowMs += ms;
      callback();
    });
    return () => clearImmediate(handle);
  }
}

const PAGES = 100;
const PAGE_MS = 50;

it.each(['backends', 'room'] as const)(
  'for %s waits a multiple of what Redis worked for a paced one, not of what that one slept',
  async (reason) => {
    const clock = new SleptClock();
    let endedMs = 0;
    let waitedMs: number | undefined;
    const snapshot = (): Snapshot => {
      let page = 0;
      return {
        readTables: async () => undefined,
        ask: async () => {
          page += 1;
          clock.nowMs += PAGE_MS;
          const cursor = page === PAGES ? '0' : String(page);
          return { cursor, tookMs: PAGE_MS, apply: () => 1, discard: () => undefined };
        },
        caughtUp: async () => undefined,
        close: () => undefined,
      };
    };
    const stopping = new AbortController();
    const resync = new Resync(
      { reconcileEveryMs: 3_600_000 },
      clock,
      DEFAULT_TUNING,
      { open: async () => snapshot() },
      {
        started: (why) => {
          if (why === reason) waitedMs = clock.nowMs - endedMs;
        },
        begin: () => undefined,
        page: () => undefined,
        commit: (progress) => {
          endedMs = clock.nowMs;
          if (progress.reason === 'reconcile') resync.request(reason);
          if (progress.reason === reason) stopping.abort();
        },
        failed: () => undefined,
      },
    );
    resync.request('start');
    const running = resync.run(stopping.signal);
    await until('begun again', () => waitedMs !== undefined);
    await running;
    const factor = reason === 'room' ? DEFAULT_TUNING.roomResyncGapFactor : DEFAULT_TUNING.backendsResyncGapFactor;
    const workedMs = PAGES * PAGE_MS;
    expect(waitedMs).toBeGreaterThan(0.9 * factor * workedMs);
    expect(waitedMs).toBeLessThan(1.1 * factor * workedMs);
  },
);
