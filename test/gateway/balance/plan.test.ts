import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EstimatedCrowd } from '../../../src/gateway/balance/crowd.ts';
import type { Loaded } from '../../../src/gateway/balance/flow.ts';
import { type Plan, type PlanOptions, planBalance } from '../../../src/gateway/balance/plan.ts';
import { runs } from '../../support/fuzz.ts';
import { answers, changed, countedTable, countsOf, type Made } from './tables.ts';

const AT_ONCE: PlanOptions = { margin: 0.1, step: 10_000 };

/** Loads of which only the size is known, on all slots alike. */
function estimated(made: readonly Made[]): Loaded[] {
  return made.map(({ name, state = 'active', weight = 100, shed = 0, users, target }, i) => {
    return { id: i + 1, name, state, weight, shed, target, crowd: new EstimatedCrowd(users, []) };
  });
}

function loadAfter(plan: Plan, name: string): number {
  return plan.loads.find((load) => load.name === name)?.after as number;
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `web-${i + 1}`);

describe('sheds', () => {
  test('exactly what is over, and the rest stay as they are', () => {
    const backends = estimated([
      { name: 'web-1', users: 1_500, target: 1_000 },
      { name: 'web-2', users: 400, target: 1_000 },
      { name: 'web-3', users: 500, target: 1_000 },
    ]);
    const plan = planBalance(backends, AT_ONCE);
    expect(plan).toMatchObject({
      outcome: 'reached',
      changes: [{ name: 'web-1', shed: 3_334 }],
      total: 2_400,
      capacity: 3_000,
    });
    expect(loadAfter(plan, 'web-1')).toBeCloseTo(999.9, 6);
    expect(plan.moved).toBeCloseTo(500.1, 6);
  });

  test('a backend without room is shut, and its share goes on', () => {
    const backends = estimated([
      { name: 'web-1', users: 1_500, target: 1_000 },
      { name: 'web-2', users: 990, target: 1_000 },
      { name: 'web-3', users: 300, target: 1_000 },
    ]);
    const plan = planBalance(backends, AT_ONCE);
    expect(plan).toMatchObject({
      outcome: 'reached',
      changes: [
        { name: 'web-1', shed: 3_334 },
        { name: 'web-2', shed: 1 },
      ],
    });
    expect(loadAfter(plan, 'web-3')).toBeCloseTo(300 + 500.1 + 0.099, 6);
  });

  test('users of backends that drain or are down count', () => {
    const backends = estimated([
      { name: 'web-1', users: 1_000, target: 1_000, state: 'draining' },
      { name: 'web-2', users: 700, target: 1_000 },
      { name: 'web-3', users: 200, target: 1_000 },
      { name: 'web-4', users: 0, target: 1_000, state: 'down' },
    ]);
    const plan = planBalance(backends, AT_ONCE);
    expect(plan).toMatchObject({ outcome: 'reached', total: 1_900, capacity: 2_000 });
    // Half each would be too much for the fuller one, all of it too much for either.
    expect(plan.changes.map(({ name }) => name)).toEqual(['web-2', 'web-3']);
    expect(plan.changes.every(({ shed }) => shed === undefined)).toBe(true);
    expect(planBalance(backends.slice(0, 2), AT_ONCE)).toMatchObject({ outcome: 'impossible', total: 1_700 });
  });

  test('weights follow the room where nothing else helps', () => {
    const backends = estimated([
      { name: 'web-1', users: 1_900, target: 1_000 },
      { name: 'web-2', users: 900, target: 1_000 },
      { name: 'web-3', users: 150, target: 1_000 },
    ]);
    const plan = planBalance(backends, AT_ONCE);
    expect(plan.outcome).toBe('reached');
    expect(plan.changes.find(({ name }) => name === 'web-1')?.shed).toBe(4_737);
    expect(plan.changes.some(({ weight }) => weight !== undefined)).toBe(true);
    for (const { after: load, target } of plan.loads) expect(load).toBeLessThanOrEqual(target);
  });

  test('a weight of 0 stays: it takes nobody', () => {
    const backends = estimated([
      { name: 'web-1', users: 1_500, target: 1_000 },
      { name: 'web-2', users: 0, target: 1_000, weight: 0 },
    ]);
    expect(planBalance(backends, AT_ONCE)).toMatchObject({
      outcome: 'impossible',
      changes: [],
      total: 1_500,
      capacity: 1_000,
    });
  });

  test('too much for all of them is said, and nothing is proposed', () => {
    const backends = estimated(names(3).map((name) => ({ name, users: 1_100, target: 1_000 })));
    expect(planBalance(backends, AT_ONCE)).toMatchObject({
      outcome: 'impossible',
      changes: [],
      total: 3_300,
      capacity: 3_000,
    });
  });

  test('nothing at all', () => {
    expect(planBalance([], AT_ONCE)).toMatchObject({ outcome: 'nothing to do', changes: [] });
  });
});

describe('load that has gone', () => {
  const table = (users: number, shed: number): Loaded[] =>
    estimated([
      { name: 'web-1', users, shed, target: 1_000 },
      { name: 'web-2', users: 100, target: 1_000 },
    ]);

  test.each([
    ['what is needed stays', 1_500, 3_334, undefined],
    ['a little more than is needed stays', 1_500, 3_900, undefined],
    ['much more goes down to where the margin is free', 1_500, 6_000, 4_000],
    ['none is needed any more, but the margin is not free', 950, 300, undefined],
    ['the margin is free', 880, 300, 0],
    ['more is needed', 1_700, 3_334, 4_118],
  ])('%s', (_, users, shed, expected) => {
    const { changes } = planBalance(table(users, shed), AT_ONCE);
    expect(changes).toEqual(expected === undefined ? [] : [{ name: 'web-1', shed: expected }]);
  });

  test('bounded steps end where one large one does', () => {
    let backends = [
      ...table(2_000, 0),
      ...table(0, 0).map((one) => ({ ...one, id: one.id + 2, name: `more-${one.name}` })),
    ];
    const seen: number[] = [];
    for (let round = 0; round < 8; round++) {
      const plan = planBalance(backends, { margin: 0.1, step: 1_500 });
      backends = changed(backends, plan.changes);
      seen.push(backends[0]?.shed as number);
      expect(plan.outcome).toBe(round < 3 ? 'on the way' : round === 3 ? 'reached' : 'nothing to do');
    }
    expect(seen.slice(0, 5)).toEqual([1_500, 3_000, 4_500, 5_000, 5_000]);
  });

  test('a shut backend is opened again only with room to spare', () => {
    const with2 = (users: number): Loaded[] =>
      estimated([
        { name: 'web-1', users: 1_500, shed: 3_334, target: 1_000 },
        { name: 'web-2', users, shed: 1, target: 1_000 },
        { name: 'web-3', users: 300, target: 1_000 },
      ]);
    expect(planBalance(with2(740), AT_ONCE).changes).toEqual([]);
    expect(planBalance(with2(600), AT_ONCE).changes).toEqual([{ name: 'web-2', shed: 0 }]);
  });
});

/** Loads that together leave a tenth of all room free. */
const feasible = fc
  .record({
    parts: fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 2, maxLength: 12 }),
    weights: fc.array(fc.integer({ min: 50, max: 200 }), { minLength: 12, maxLength: 12 }),
    target: fc.integer({ min: 100, max: 2_000 }),
    fill: fc.integer({ min: 10, max: 90 }),
    draining: fc.boolean(),
    seed: fc.integer(),
  })
  .map(({ parts, weights, target, fill, draining, seed }) => {
    const active = parts.length - (draining ? 1 : 0);
    const whole = parts.reduce((sum, part) => sum + part, 0) || 1;
    const made = parts.map((part, i): Made => {
      const users = Math.floor((part / whole) * target * active * (fill / 100));
      const state = draining && i === 0 ? 'draining' : 'active';
      return { name: `web-${i}`, users, target, weight: weights[i] as number, state };
    });
    return { made, seed, target };
  });

describe('for any table with a tenth of all room free', () => {
  test('every user counted one by one, no backend is over its target', () => {
    fc.assert(
      fc.property(feasible, ({ made, seed, target }) => {
        const { backends, users } = countedTable(made, seed);
        const plan = planBalance(backends, AT_ONCE);
        expect(['reached', 'nothing to do']).toContain(plan.outcome);
        const there = changed(backends, plan.changes);
        const before = answers(backends, users);
        const now = answers(there, users);
        const counts = countsOf(now);
        for (const { id, name, state } of there) {
          const count = counts.get(id) ?? 0;
          if (state === 'active') expect(count).toBeLessThanOrEqual(target);
          expect(loadAfter(plan, name)).toBe(count);
        }
        expect(plan.moved).toBe(now.filter((id, i) => id !== before[i]).length);
        // Asked again it has nothing to add.
        expect(planBalance(there, AT_ONCE).changes).toEqual([]);
      }),
      runs(12),
    );
  });

  test('nobody sheds more than must be, to a hundredth of a percent', () => {
    fc.assert(
      fc.property(feasible, ({ made }) => {
        const plan = planBalance(estimated(made), AT_ONCE);
        for (const { name, shed = 0 } of plan.changes) {
          const { users, target } = made.find((one) => one.name === name) as Made;
          const needed = users > target ? (1 - target / users) * 10_000 : 0;
          expect(shed).toBeGreaterThanOrEqual(needed - 1e-6);
          expect(shed).toBeLessThanOrEqual(needed + 1);
        }
      }),
      runs(15),
    );
  });

  test('more load never sheds less, a higher target never more', () => {
    fc.assert(
      fc.property(feasible, fc.integer({ min: 1, max: 50 }), ({ made }, by) => {
        const shedsOf = (table: readonly Made[]): number[] => {
          const backends = estimated(table);
          return changed(backends, planBalance(backends, AT_ONCE).changes).map(({ shed }) => shed);
        };
        const one = shedsOf(made);
        const wider = made.map((backend) => ({ ...backend, target: backend.target + by }));
        // Weights are changed only where nothing else helps; below that the sheds of those that are over are compared.
        const over = made.map(({ users, target, state }) => state === 'active' && users > target);
        shedsOf(wider).forEach((shed, i) => {
          if (over[i]) expect(shed).toBeLessThanOrEqual(one[i] as number);
        });
        const fuller = made.map((backend, i) => ({ ...backend, users: backend.users + (i === 1 ? by : 0) }));
        if (planBalance(estimated(fuller), AT_ONCE).outcome === 'impossible') return;
        expect(shedsOf(fuller)[1]).toBeGreaterThanOrEqual(over[1] ? (one[1] as number) : 0);
      }),
      runs(12),
    );
  });

  test('the order of backends makes no difference, and asking twice neither', () => {
    fc.assert(
      fc.property(feasible, ({ made, seed }) => {
        const { backends } = countedTable(made, seed);
        const sorted = (plan: Plan): unknown => [...plan.changes].sort((a, b) => (a.name < b.name ? -1 : 1));
        const plan = planBalance(backends, AT_ONCE);
        expect(planBalance(backends, AT_ONCE)).toEqual(plan);
        expect(sorted(planBalance([...backends].reverse(), AT_ONCE))).toEqual(sorted(plan));
      }),
      runs(6),
    );
  });

  test('in steps it gets there too, and on the way nobody who is under the target comes over it', () => {
    fc.assert(
      fc.property(feasible, fc.integer({ min: 500, max: 3_000 }), ({ made }, step) => {
        let backends: Loaded[] = estimated(made);
        const weights = made.map(({ weight }) => weight);
        for (let round = 0; round < 60; round++) {
          const plan = planBalance(backends, { margin: 0.1, step });
          backends = changed(backends, plan.changes);
          if (plan.outcome === 'nothing to do') return;
          // With weights that move by steps, too, only the end is promised.
          if (backends.some(({ weight }, i) => weight !== weights[i])) continue;
          for (const { before, after: now, target } of plan.loads) {
            if (before <= target) expect(now).toBeLessThanOrEqual(target * (1 + 1e-6));
          }
        }
        throw new Error('never came to rest');
      }),
      runs(8),
    );
  });
});

test('where all are under their targets, nothing is proposed', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1_000 }), { maxLength: 20 }), (loads) => {
      const backends = estimated(loads.map((users, i) => ({ name: `web-${i}`, users, target: 1_000 })));
      expect(planBalance(backends, AT_ONCE)).toMatchObject({ outcome: 'nothing to do', changes: [], moved: 0 });
    }),
    runs(20),
  );
});
