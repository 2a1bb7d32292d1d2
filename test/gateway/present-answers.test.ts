import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Status } from '../../src/abi.ts';
import type { Ring } from '../../src/auth/placement.ts';
import { type Placeable, PresentAnswers, ringOf, sharesOf } from '../../src/gateway/present-answers.ts';
import { BACKEND, lookup, SESSION } from '../auth/support/responder.ts';
import { hex } from '../auth/support/vectors.ts';

const hashOf = (user: number) => createHash('sha256').update(`user ${user}`).digest().subarray(0, 16);

function backend(id: number, fields: Partial<Placeable> = {}): Placeable {
  return { id, name: `web-${id}`, state: 'active', weight: 100, shed: 0, ...fields };
}

/** Tables of up to eight backends, in all states, with every kind of weight and shed fraction. */
const tables = fc
  .array(
    fc.record({
      state: fc.constantFrom('active', 'active', 'active', 'draining', 'down'),
      weight: fc.constantFrom(0, 1, 100, 65_535),
      shed: fc.constantFrom(0, 0, 1, 3_000, 9_999, 10_000),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((fields) => fields.map((each, i) => backend(i + 1, each as Partial<Placeable>)));

describe('where users are moved to', () => {
  test('nobody from an active backend that sheds nobody, and nobody from one that is not known', () => {
    const answers = new PresentAnswers([backend(1), backend(2)]);
    for (let user = 0; user < 100; user++) {
      expect(answers.movedTo('web-1', hashOf(user))).toBeNull();
      expect(answers.movedTo('web-9', hashOf(user))).toBeNull();
    }
  });

  test('everybody from one that is draining, to those that shed nobody', () => {
    const answers = new PresentAnswers([backend(1, { state: 'draining' }), backend(2), backend(3, { shed: 1 })]);
    for (let user = 0; user < 100; user++) expect(answers.movedTo('web-1', hashOf(user))).toBe('web-2');
  });

  test('to any active one where all of them shed; nowhere where none is active', () => {
    const down = backend(1, { state: 'down' });
    const shedding = new PresentAnswers([down, backend(2, { shed: 5_000 })]);
    const alone = new PresentAnswers([down, backend(2, { state: 'draining' })]);
    for (let user = 0; user < 100; user++) {
      expect(shedding.movedTo('web-1', hashOf(user))).toBe('web-2');
      expect(shedding.movedTo('web-2', hashOf(user))).toBeNull();
      expect(alone.movedTo('web-1', hashOf(user))).toBeNull();
    }
  });

  test('as many as are shed', () => {
    const answers = new PresentAnswers([backend(1, { shed: 3_000 }), backend(2)]);
    let moved = 0;
    for (let user = 0; user < 10_000; user++) if (answers.movedTo('web-1', hashOf(user)) !== null) moved += 1;
    expect(moved / 10_000).toBeGreaterThan(0.29);
    expect(moved / 10_000).toBeLessThan(0.31);
  });

  test('and from there nobody is moved on, whatever the table', () => {
    fc.assert(
      fc.property(tables, fc.array(fc.nat(), { minLength: 20, maxLength: 20 }), (table, users) => {
        const answers = new PresentAnswers(table);
        for (const { name } of table) {
          for (const hash of users.map(hashOf)) {
            const target = answers.movedTo(name, hash);
            if (target === null) continue;
            expect(target).not.toBe(name);
            expect(table.find((each) => each.name === target)?.state).toBe('active');
            expect(answers.movedTo(target, hash)).toBeNull();
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

test('shares follow the weights; who is not active has none', () => {
  const shares = sharesOf([
    backend(1, { weight: 300 }),
    backend(2),
    backend(3, { state: 'down' }),
    backend(4, { weight: 0 }),
    backend(5, { shed: 10_000 }),
  ]);
  expect(shares.get(1)).toBeCloseTo(0.6, 3);
  expect(shares.get(2)).toBeCloseTo(0.2, 3);
  expect(shares.get(5)).toBeCloseTo(0.2, 3);
  expect([shares.get(3), shares.get(4)]).toEqual([0, 0]);
});

describe('beside the responder', () => {
  /** The backend that a session stored on one is answered with; undefined = it is not found. */
  function answered(table: readonly Placeable[], ring: Ring, hash: Uint8Array, storedOn: number): number | undefined {
    const backends = table.map(({ id, state, shed }) => [id, { ...BACKEND, active: state === 'active', shed }]);
    const options = {
      backends: Object.fromEntries(backends),
      ring,
      sessions: { [hex(hash)]: { ...SESSION, backendId: storedOn } },
    };
    const { reply } = lookup(options, hash);
    return reply?.status === Status.FOUND ? reply.backendId : undefined;
  }

  test('settling changes no answer, whatever the table and wherever the session is stored', () => {
    fc.assert(
      fc.property(tables, fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), (table, users) => {
        const answers = new PresentAnswers(table);
        const ring = ringOf(table);
        const idOf = (name: string) => table.find((each) => each.name === name)?.id ?? 0;
        for (const { id, name } of table) {
          for (const hash of users.map(hashOf)) {
            const before = answered(table, ring, hash, id);
            const settledOn = idOf(answers.movedTo(name, hash) ?? name);
            expect(settledOn).toBe(before);
            expect(answered(table, ring, hash, settledOn)).toBe(before);
          }
        }
      }),
      { numRuns: 40 },
    );
  });
});
