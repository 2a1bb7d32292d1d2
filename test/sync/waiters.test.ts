import { expect, it } from 'vitest';
import { Waiters } from '../../src/sync/waiters.ts';

it('resolves those whose wish is met, once, and lets the others wait', async () => {
  const waiters = new Waiters<number>();
  const { signal } = new AbortController();
  const met: number[] = [];
  const waits = [1, 5, 9].map((wanted) => waiters.wait(wanted, signal).then(() => met.push(wanted)));
  waiters.resolve((wanted) => wanted <= 5);
  await Promise.all(waits.slice(0, 2));
  expect(met).toEqual([1, 5]);
  waiters.resolve(() => true);
  await waits[2];
  expect(met).toEqual([1, 5, 9]);
});

it('rejects with the signal, before or during the wait', async () => {
  const waiters = new Waiters<number>();
  const controller = new AbortController();
  const wait = waiters.wait(1, controller.signal);
  controller.abort(new Error('stopped'));
  await expect(wait).rejects.toThrow('stopped');
  await expect(waiters.wait(1, controller.signal)).rejects.toThrow('stopped');
  const wanted: number[] = [];
  waiters.resolve((wish) => wanted.push(wish) > 0);
  expect(wanted).toEqual([]);
});

it('fails those that wait in vain, and only those', async () => {
  const waiters = new Waiters<number>();
  const { signal } = new AbortController();
  const vain = waiters.wait(3, signal);
  const rest = waiters.wait(1, signal);
  waiters.reject(new Error('in vain'), (wanted) => wanted > 2);
  await expect(vain).rejects.toThrow('in vain');
  waiters.resolve(() => true);
  await rest;
});
