import { describe, expect, it } from 'vitest';
import { PendingKeys } from '../../../src/sync/notifications/pending-keys.ts';

const NEVER = new AbortController().signal;

/** Whether a promise is fulfilled by now. */
async function isOver(promise: Promise<void>): Promise<boolean> {
  let over = false;
  promise.then(() => {
    over = true;
  });
  for (let i = 0; i < 10; i++) await Promise.resolve();
  return over;
}

describe('pending keys', () => {
  it('are taken once each, in the order in which they first changed', () => {
    const keys = new PendingKeys(10);
    for (const key of ['a', 'b', 'a', 'c', 'b']) expect(keys.add(key)).toBe(true);
    expect(keys.take(2).map(({ key }) => key)).toEqual(['a', 'b']);
    keys.add('a');
    expect(keys.take(5).map(({ key }) => key)).toEqual(['c', 'a']);
    expect(keys.take(5)).toEqual([]);
  });

  it('are asked for with ASKING once one of them must be', () => {
    const keys = new PendingKeys(10);
    keys.add('a');
    keys.add('a', true);
    keys.add('a');
    keys.add('b');
    expect(keys.take(2).map(({ asking }) => asking)).toEqual([true, false]);
  });

  it('are bounded; one that is pending already needs no room', () => {
    const keys = new PendingKeys(2);
    expect(['a', 'b', 'a', 'c'].map((key) => keys.add(key))).toEqual([true, true, true, false]);
    expect(keys.size).toBe(2);
    keys.clear();
    expect(keys.size).toBe(0);
    expect(keys.add('c')).toBe(true);
  });

  it('are settled when all that changed before are dealt with, and not before', async () => {
    const keys = new PendingKeys(10);
    expect(await isOver(keys.settled(NEVER))).toBe(true);
    keys.add('a');
    keys.add('b');
    const both = keys.settled(NEVER);
    keys.take(1);
    // Changed again while it is read: this is another change.
    keys.add('a');
    keys.settle(1);
    expect(await isOver(both)).toBe(false);
    const all = keys.settled(NEVER);
    keys.take(1);
    keys.settle(1);
    expect(await isOver(both)).toBe(true);
    expect(await isOver(all)).toBe(false);
    keys.clear();
    expect(await isOver(all)).toBe(true);
  });

  it('are waited for no longer than the signal says', async () => {
    const keys = new PendingKeys(10);
    const controller = new AbortController();
    keys.add('a');
    const waiting = keys.settled(controller.signal);
    controller.abort(new Error('over'));
    await expect(waiting).rejects.toThrow('over');
    await expect(keys.settled(controller.signal)).rejects.toThrow('over');
  });
});
