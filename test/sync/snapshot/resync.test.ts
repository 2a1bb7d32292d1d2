/** How long a resync waits for the next one, on a clock that the test holds, and in which order it asks for pages. */
import { describe, expect, it } from 'vitest';
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

describe('a page that is asked for ahead', () => {
  /** Of three pages, each of which tells the next one's cursor before it is there. */
  function setUp(fails: (cursor: string) => boolean) {
    const log: string[] = [];
    const next: Record<string, string> = { 0: 'a', a: 'b', b: '0' };
    const snapshot: Snapshot = {
      readTables: async () => undefined,
      ask: async (cursor, ahead) => {
        log.push(`ask ${cursor}`);
        await new Promise(setImmediate);
        const following = next[cursor] as string;
        ahead(following);
        if (fails(cursor)) throw new Error(`no page ${cursor}`);
        const apply = (): number => log.push(`apply ${cursor}`);
        return { cursor: following, tookMs: 1, apply, discard: () => log.push(`discard ${cursor}`) };
      },
      caughtUp: async () => undefined,
      close: () => log.push('close'),
    };
    const stopping = new AbortController();
    const resync = new Resync(
      { reconcileEveryMs: 3_600_000 },
      new SleptClock(),
      DEFAULT_TUNING,
      { open: async () => snapshot },
      {
        started: () => undefined,
        begin: () => undefined,
        page: () => undefined,
        commit: () => {
          log.push('commit');
          stopping.abort();
        },
        failed: () => stopping.abort(),
      },
    );
    return { log, resync, stopping };
  }

  it('is asked for before the one before it is applied, and once', async () => {
    const { log, resync, stopping } = setUp(() => false);
    resync.request('start');
    await resync.run(stopping.signal);
    const expected = ['ask 0', 'ask a', 'apply 0', 'ask b', 'apply a', 'apply b', 'commit', 'close'];
    expect(log).toEqual(expected);
  });

  it('is discarded where the one before it fails', async () => {
    const { log, resync, stopping } = setUp((cursor) => cursor === 'a');
    resync.request('start');
    await resync.run(stopping.signal);
    await until('discarded', () => log.includes('discard b'));
    expect(log).toEqual(['ask 0', 'ask a', 'apply 0', 'ask b', 'close', 'discard b']);
  });
});
