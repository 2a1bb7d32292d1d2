import { describe, expect, it } from 'vitest';
import { SkewBudget } from '../../src/auth/skew-budget.ts';

describe('SkewBudget', () => {
  it('allows so many a second, and begins anew with each second', () => {
    const budget = new SkewBudget(2);
    expect([1000, 1001, 1999, 2000, 2500, 2999].map((ms) => budget.spend(ms))).toEqual([
      true,
      true,
      false,
      true,
      true,
      false,
    ]);
  });

  it('allows none where it is 0', () => {
    expect(new SkewBudget(0).spend(0)).toBe(false);
  });

  it('begins anew when the clock is set back', () => {
    const budget = new SkewBudget(1);
    expect([budget.spend(9000), budget.spend(9001), budget.spend(3000)]).toEqual([true, false, true]);
  });

  it('refuses what is no count', () => {
    expect(() => new SkewBudget(-1)).toThrow(RangeError);
    expect(() => new SkewBudget(0.5)).toThrow(RangeError);
  });
});
