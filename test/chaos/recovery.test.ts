import { expect, test } from 'vitest';
import { applyInTurn, type Fault } from './faults.ts';
import { Random } from './random.ts';
import { Recovery } from './recovery.ts';
import type { World } from './world.ts';

let nowMs = 0;
const recovery = new Recovery(() => nowMs);
const world = { recovery } as World;

/** @param overAtMs when it says that it is over; absent = it doesn't */
function fault(toMs: number, overAtMs?: number): Fault {
  return {
    name: `until ${toMs}`,
    apply: async ({ recovery: of }) => {
      if (overAtMs !== undefined) {
        nowMs = overAtMs;
        of.over();
      }
      nowMs = toMs;
    },
  };
}

test('the gateway can be in step again from when a fault says so, or from its end', async () => {
  await applyInTurn([fault(20, 15)], world, new Random(1));
  expect(recovery.sinceMs()).toBe(15);
  await applyInTurn([fault(40)], world, new Random(1));
  expect(recovery.sinceMs()).toBe(40);
});

test('of two in a row, from the moment of the second', async () => {
  await applyInTurn([fault(60, 55), fault(80)], world, new Random(1));
  expect(recovery.sinceMs()).toBe(80);
  await applyInTurn([fault(100, 95), fault(120, 115)], world, new Random(1));
  expect(recovery.sinceMs()).toBe(115);
});
