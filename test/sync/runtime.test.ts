import { describe, expect, it } from 'vitest';
import { Backoff, type Runtime, sleep, systemRuntime } from '../../src/sync/runtime.ts';

function fakeRuntime(random: number): Runtime & { fire: () => void; readonly timers: Map<number, () => void> } {
  const timers = new Map<number, () => void>();
  let count = 0;
  return {
    timers,
    fire: () => {
      for (const callback of timers.values()) callback();
    },
    wallMs: () => 0,
    monotonicMs: () => 0,
    random: () => random,
    timer: (_ms, callback) => {
      const id = ++count;
      timers.set(id, callback);
      return () => timers.delete(id);
    },
  };
}

describe('Backoff', () => {
  it('doubles from the least to the most, with half at random, and begins again after a success', () => {
    const steps = (random: number): number[] => {
      const backoff = new Backoff(fakeRuntime(random), 100, 3000);
      const found = Array.from({ length: 7 }, () => backoff.nextMs());
      backoff.reset();
      return [...found, backoff.nextMs()];
    };
    expect(steps(0)).toEqual([50, 100, 200, 400, 800, 1500, 1500, 50]);
    expect(steps(1)).toEqual([100, 200, 400, 800, 1600, 3000, 3000, 100]);
  });

  it('stays bounded however often', () => {
    const backoff = new Backoff(fakeRuntime(1), 100, 3000);
    for (let i = 0; i < 5000; i++) expect(backoff.nextMs()).toBeLessThanOrEqual(3000);
  });
});

describe('sleep', () => {
  it('ends with its time and leaves nothing behind', async () => {
    const runtime = fakeRuntime(0);
    const { signal } = new AbortController();
    const sleeping = sleep(runtime, 5, signal);
    expect(runtime.timers.size).toBe(1);
    runtime.fire();
    await sleeping;
    expect(runtime.timers.size).toBe(0);
  });

  it('ends with the signal and cancels its timer', async () => {
    const runtime = fakeRuntime(0);
    const controller = new AbortController();
    const sleeping = sleep(runtime, 5, controller.signal);
    controller.abort();
    await sleeping;
    expect(runtime.timers.size).toBe(0);
    await sleep(runtime, 5, controller.signal);
    expect(runtime.timers.size).toBe(0);
  });
});

describe('systemRuntime', () => {
  it('reads the clocks in milliseconds', () => {
    expect(Math.abs(systemRuntime.monotonicMs() - Number(process.hrtime.bigint()) / 1e6)).toBeLessThan(100);
    expect(Math.abs(systemRuntime.wallMs() - Date.now())).toBeLessThan(100);
  });
});
