import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Reread } from '../../../src/sync/tables/reread.ts';

/** A Reread whose readings end when the test says so. */
function setUp() {
  const ends: ((isRead: boolean) => void)[] = [];
  const reread = new Reread(
    () =>
      new Promise<boolean>((resolve) => {
        ends.push(resolve);
      }),
  );
  const endLast = async (isRead: boolean): Promise<void> => {
    ends.at(-1)?.(isRead);
    await turn();
  };
  return { reread, ends, endLast };
}

describe('Reread', () => {
  it('reads one at a time, and once for all that asked meanwhile', async () => {
    const { reread, ends, endLast } = setUp();
    for (let i = 0; i < 5; i++) reread.want();
    expect(ends).toHaveLength(1);
    await endLast(true);
    expect(ends).toHaveLength(2);
    await endLast(true);
    expect(ends).toHaveLength(2);
    reread.want();
    expect(ends).toHaveLength(3);
  });

  it('has caught up after a reading that began after all that was asked for', async () => {
    const { reread, endLast } = setUp();
    expect(await reread.caughtUp()).toBe(true);
    reread.want();
    reread.want();
    let caughtUp: boolean | null = null;
    void reread.caughtUp().then((found) => {
      caughtUp = found;
    });
    await endLast(true);
    expect(caughtUp).toBeNull();
    // What is asked for later is not waited for.
    reread.want();
    await endLast(true);
    expect(caughtUp).toBe(true);
  });

  it('does not try again by itself what failed, and says so to who waits', async () => {
    const { reread, ends, endLast } = setUp();
    reread.want();
    const caughtUp = reread.caughtUp();
    expect(reread.failed).toBe(false);
    await endLast(false);
    expect(await caughtUp).toBe(false);
    expect(await reread.caughtUp()).toBe(false);
    expect(reread.failed).toBe(true);
    expect(ends).toHaveLength(1);
    reread.want();
    await endLast(true);
    expect(await reread.caughtUp()).toBe(true);
    expect(reread.failed).toBe(false);
  });
});
