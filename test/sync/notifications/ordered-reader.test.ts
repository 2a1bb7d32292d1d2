import { expect, it } from 'vitest';
import { OrderedReader } from '../../../src/sync/notifications/ordered-reader.ts';
import type { Connection } from '../../../src/sync/redis/connection.ts';

it('applies replies in the order of the requests, whenever they are ready, also after one that failed', async () => {
  const deadlines: (number | null)[] = [];
  const connection = {
    expectReplyWithin: (ms: number) => deadlines.push(ms),
    expectNothing: () => deadlines.push(null),
  } as unknown as Connection;
  const reader = new OrderedReader(connection, 100);
  const applied: string[] = [];
  const send = () => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const done = reader.send(
      () => promise,
      (reply) => applied.push(reply),
    );
    return { resolve, reject, done };
  };
  const [first, second, third] = [send(), send(), send()];
  third.resolve('third');
  first.resolve('first');
  await first.done;
  expect(applied).toEqual(['first']);
  expect(deadlines).toEqual([100, 100, 100, 100]);
  second.reject(new Error('second failed'));
  await expect(second.done).rejects.toThrow('second failed');
  await third.done;
  expect(applied).toEqual(['first', 'third']);
  expect(deadlines.at(-1)).toBeNull();
});
