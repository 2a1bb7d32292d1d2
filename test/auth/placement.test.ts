import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildRing, type PlacedBackend, RING_SLOTS, SHED_WHOLE, shedRankOf, slotOf } from '../../src/auth/placement.ts';

const USERS = 100_000;
const hashes = Array.from({ length: USERS }, (_, i) => createHash('sha256').update(`user ${i}`).digest());
const slots = hashes.map(slotOf);

function backend(id: number, fields: Partial<PlacedBackend> = {}): PlacedBackend {
  return { id, name: `app-${id}`, active: true, weight: 100, shed: 0, ...fields };
}

function backendsOf(count: number): PlacedBackend[] {
  return Array.from({ length: count }, (_, i) => backend(i + 1));
}

function usersBy(placed: Uint16Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const slot of slots) {
    const id = placed[slot] as number;
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

const anyBackends = fc.uniqueArray(
  fc.record({
    id: fc.integer({ min: 1, max: 65_535 }),
    active: fc.boolean(),
    weight: fc.oneof(fc.constant(100), fc.integer({ min: 0, max: 65_535 })),
    shed: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: SHED_WHOLE })),
  }),
  { maxLength: 20, selector: ({ id }) => id },
);

describe('slots and shed ranks', () => {
  it('reach both ends', () => {
    const low = new Uint8Array(16);
    const high = new Uint8Array(16).fill(255);
    expect([slotOf(low), shedRankOf(low)]).toEqual([0, 0]);
    expect([slotOf(high), shedRankOf(high)]).toEqual([RING_SLOTS - 1, SHED_WHOLE - 1]);
  });

  it('come from different bytes', () => {
    const hash = new Uint8Array(16);
    hash.fill(255, 0, 4);
    expect([slotOf(hash), shedRankOf(hash)]).toEqual([RING_SLOTS - 1, 0]);
  });

  it('are evenly spread, each whatever the other is', () => {
    const inFirstHalf = hashes.filter((hash) => slotOf(hash) < RING_SLOTS / 2);
    const shed = (of: readonly Buffer[]) => of.filter((hash) => shedRankOf(hash) < 3_000).length / of.length;
    expect(inFirstHalf.length / USERS).toBeCloseTo(0.5, 1);
    expect(Math.abs(shed(hashes) - 0.3)).toBeLessThan(0.01);
    expect(Math.abs(shed(inFirstHalf) - 0.3)).toBeLessThan(0.01);
  });
});

describe('the ring', () => {
  it('gives each backend as many slots as its weight says, to a slot', () => {
    const weights = [100, 100, 50, 300, 1];
    const { placed } = buildRing(weights.map((weight, i) => backend(i + 1, { weight })));
    const whole = weights.reduce((sum, weight) => sum + weight);
    weights.forEach((weight, i) => {
      const taken = placed.filter((id) => id === i + 1).length;
      expect(Math.abs(taken - (RING_SLOTS * weight) / whole)).toBeLessThan(2);
    });
  });

  it.each([2, 3, 10])('shares 100,000 users among %i backends within 2 percent', (count) => {
    const users = usersBy(buildRing(backendsOf(count)).placed);
    for (const { id } of backendsOf(count)) {
      expect(Math.abs((users.get(id) ?? 0) / USERS - 1 / count)).toBeLessThan(0.02 / count);
    }
  });

  it.each([2, 3, 10, 100])('moves few users of the others when one of %i backends goes', (count) => {
    const all = backendsOf(count);
    const before = buildRing(all).placed;
    for (const gone of all.slice(0, 5)) {
      const after = buildRing(all.map((one) => (one === gone ? { ...one, active: false } : one))).placed;
      let others = 0;
      let moved = 0;
      for (const slot of slots) {
        if (before[slot] === gone.id) continue;
        others += 1;
        if (before[slot] !== after[slot]) moved += 1;
      }
      expect(moved / others).toBeLessThan(1.2 / count);
    }
  });

  it('is the same whatever order the backends come in, and holds only active ones with a weight', () => {
    fc.assert(
      fc.property(anyBackends, fc.nat(), (found, turn) => {
        const all = found.map((one) => backend(one.id, one));
        const cut = all.length === 0 ? 0 : turn % all.length;
        const ring = buildRing(all);
        const again = buildRing([...all.slice(cut), ...all.slice(0, cut)].reverse());
        expect(Buffer.compare(Buffer.from(again.placed.buffer), Buffer.from(ring.placed.buffer))).toBe(0);
        expect(Buffer.compare(Buffer.from(again.moved.buffer), Buffer.from(ring.moved.buffer))).toBe(0);
        const usable = new Set(all.filter(({ active, weight }) => active && weight > 0).map(({ id }) => id));
        const held = new Set(ring.placed);
        if (usable.size === 0) expect([...held]).toEqual([0]);
        else expect([...held].every((id) => usable.has(id))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('sends who leaves a backend to the next slot whose backend sheds nobody', () => {
    fc.assert(
      fc.property(anyBackends, (found) => {
        const all = found.map((one) => backend(one.id, one));
        const { placed, moved } = buildRing(all);
        const shedding = new Set(all.filter(({ shed }) => shed > 0).map(({ id }) => id));
        for (let slot = 0; slot < RING_SLOTS; slot += 997) {
          let ahead = 0;
          while (ahead < RING_SLOTS && shedding.has(placed[(slot + ahead) % RING_SLOTS] as number)) ahead += 1;
          const expected = ahead === RING_SLOTS ? 0 : placed[(slot + ahead) % RING_SLOTS];
          expect(moved[slot]).toBe(expected);
        }
      }),
      { numRuns: 30 },
    );
  });
});
