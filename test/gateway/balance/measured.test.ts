import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CountedCrowd, EstimatedCrowd, isOver, userOf } from '../../../src/gateway/balance/crowd.ts';
import { loadsUnder } from '../../../src/gateway/balance/flow.ts';
import { measuredCrowds } from '../../../src/gateway/balance/measured.ts';
import { type Placeable, ringOf } from '../../../src/gateway/present-answers.ts';
import { runs } from '../../support/fuzz.ts';
import { hashOf } from './tables.ts';

const shed = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9_000 }));
const backends = fc
  .array(fc.record({ shed, weight: fc.integer({ min: 1, max: 300 }), load: fc.integer({ min: 0, max: 1_000 }) }), {
    minLength: 1,
    maxLength: 10,
  })
  .map((made) => made.map((one, i) => ({ ...one, id: i + 1, name: `web-${i + 1}`, state: 'active' as const })));

describe('whose users a measured load is', () => {
  test('under the same table they make that load again', () => {
    fc.assert(
      fc.property(backends, (made) => {
        const ring = ringOf(made);
        // What such users would make the backends measure.
        const crowds = made.map(({ id, load }) => {
          const own = [...ring.placed.keys()].filter((slot) => ring.placed[slot] === id);
          return new EstimatedCrowd(load, own);
        });
        const measured = loadsUnder(
          made.map((one, i) => ({ ...one, crowd: crowds[i] as EstimatedCrowd, target: 1 })),
          ring,
        );
        const found = measuredCrowds(
          made,
          made.map(({ id }) => measured[id] as number),
        );
        for (const [i, { load }] of made.entries()) expect(found[i]?.load).toBeCloseTo(load, 6);
      }),
      runs(15),
    );
  });

  test('of a backend that sheds all, nothing is known but what it has', () => {
    const made: Placeable[] = [
      { id: 1, name: 'a', state: 'active', weight: 100, shed: 10_000 },
      { id: 2, name: 'b', state: 'active', weight: 100, shed: 0 },
      { id: 3, name: 'c', state: 'draining', weight: 100, shed: 0 },
    ];
    expect(measuredCrowds(made, [3, 50, 2]).map(({ load }) => load)).toEqual([3, 50, 2]);
  });

  test('one that has less than it should have been sent has none of its own', () => {
    const made: Placeable[] = [
      { id: 1, name: 'a', state: 'active', weight: 100, shed: 5_000 },
      { id: 2, name: 'b', state: 'active', weight: 100, shed: 0 },
    ];
    expect(measuredCrowds(made, [100, 60]).map(({ load }) => Math.round(load))).toEqual([200, 0]);
  });
});

describe('users counted one by one', () => {
  const users = fc.array(
    fc.record({ slot: fc.integer({ min: 0, max: 65_536 }), rank: fc.integer({ min: 0, max: 9_999 }) }),
    {
      maxLength: 300,
    },
  );

  test('the least fraction is found that leaves no more than is asked, and those below it leave', () => {
    fc.assert(
      fc.property(users, fc.integer({ min: -1, max: 310 }), (all, most) => {
        const crowd = new CountedCrowd(Uint32Array.from(all, ({ slot, rank }) => userOf(hashOf(slot, rank))));
        const stay = (fraction: number): number => all.filter(({ rank }) => rank >= fraction).length;
        const least = crowd.shedFor(most);
        expect(stay(least)).toBeLessThanOrEqual(Math.max(most, 0));
        if (least > 0) expect(stay(least - 1)).toBeGreaterThan(Math.max(most, 0));
        const left: number[] = [];
        crowd.leaving(least, (slot) => left.push(slot));
        const expected = all.filter(({ rank }) => rank < least).map(({ slot }) => slot);
        expect(left.sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
      }),
      runs(100),
    );
  });
});

test('a load that was only measured needs a fraction to a hundredth of a percent', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1e-3, max: 1e9, noNaN: true }),
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      (load, most) => {
        const crowd = new EstimatedCrowd(load, []);
        const least = crowd.shedFor(most);
        expect(isOver(load * (1 - least / 10_000), most)).toBe(false);
        if (least > 0) expect(load * (1 - (least - 1) / 10_000)).toBeGreaterThan(most * (1 - 1e-9));
      },
    ),
    runs(300),
  );
});
