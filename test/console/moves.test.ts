/** What the page says a change would move, beside what the model of the datapath moves. */
import { expect, test } from 'vitest';
import { movedTo } from '../../src/auth/placement.ts';
import { previewShed } from '../../src/gateway/console/page/moves.js';
import { type Placeable, ringOf, sharesOf } from '../../src/gateway/present-answers.ts';
import { Random } from '../chaos/random.ts';

const FLEETS = 60;
const random = new Random(7);
const hashes = Array.from({ length: 4_000 }, () => Buffer.from(Array.from({ length: 16 }, () => random.below(256))));

interface Stored extends Placeable {
  readonly sessions: number;
}

/** The first one is active: of it the shedding is tried. */
function fleet(): Stored[] {
  return Array.from({ length: random.between(2, 5) }, (_, i) => ({
    id: i + 1,
    name: `web-${i + 1}`,
    state: i === 0 ? 'active' : random.pick(['active', 'active', 'draining', 'down']),
    weight: random.pick([0, 50, 100, 100, 300]),
    shed: random.pick([0, 0, 0, 2_500, 10_000]),
    sessions: random.pick([500, 2_000, hashes.length]),
  }));
}

/** The id of the backend that each user is answered with, those of the first backend first. */
function answers(backends: readonly Stored[]): number[] {
  const ring = ringOf(backends);
  return backends.flatMap((stored) => {
    const placed = { active: stored.state === 'active', shed: stored.shed };
    return hashes.slice(0, stored.sessions).map((hash) => movedTo(ring, placed, hash) || stored.id);
  });
}

test.each(Array.from({ length: FLEETS }, (_, i) => i))('as many move as the model moves: fleet %i', () => {
  const before = fleet();
  const [first] = before as [Stored];
  const shed = random.pick([0, 0, 100, 5_000, 10_000]);
  const after = before.map((backend) => (backend === first ? { ...backend, shed } : backend));
  const [from, to] = [answers(before), answers(after)];
  const shares = sharesOf(before);
  const preview = previewShed(
    before.map((backend) => ({ ...backend, share: shares.get(backend.id) ?? 0 })),
    first.name,
    shed,
  );
  const changed = from.map((id, i) => id !== to[i]);
  const countOf = (flags: readonly boolean[]): number => flags.filter(Boolean).length;
  const usersOf = (ids: readonly number[], { id }: Stored): number => countOf(ids.map((each) => each === id));
  const real = {
    own: countOf(changed.slice(0, first.sessions)) * (shed < first.shed ? -1 : 1),
    others: countOf(changed.slice(first.sessions)),
    ...Object.fromEntries(before.map((backend) => [backend.name, usersOf(to, backend) - usersOf(from, backend)])),
  };
  const { own, others, gains } = preview;
  // Hashes of few users aren't spread evenly; and which backend's slot is the next one that sheds nobody follows the shares only roughly.
  const leeway = 60 + from.length * 0.02;
  const roughly = leeway + countOf(changed) * 0.2;
  for (const [what, users] of Object.entries({ own, others, ...gains })) {
    const wrong = Math.abs(Number(users) - (real[what as keyof typeof real] ?? Number.NaN));
    expect(wrong, JSON.stringify({ what, users, real, before, shed })).toBeLessThan(what in gains ? roughly : leeway);
  }
});
