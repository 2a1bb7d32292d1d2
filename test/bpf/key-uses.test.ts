/** Authentic requests counted by key, while keys come and go. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Limit } from '../../src/abi.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { BpfLab } from './lab.ts';

let lab: BpfLab;
beforeAll(() => {
  lab = new BpfLab();
});
afterAll(() => lab?.close());

function ask(key: Key, times = 1): void {
  for (let i = 0; i < times; i++) lab.run(lab.frame(lab.request(key, 'nobody')));
}
const uses = (...ids: number[]): number[] => ids.map((id) => lab.datapath.keyUses(id));

test('each for itself; what is forged or from a clock that is off counts as little as it is answered', () => {
  const [one, two] = [lab.newKey(1), lab.newKey(2)];
  ask(one, 3);
  ask(two);
  lab.run(lab.frame(lab.batchRequest(two, ['a', 'b', 'c'])));
  const forged = lab.request(one, 'nobody');
  forged[30] = (forged[30] ?? 0) ^ 1;
  lab.run(lab.frame(forged));
  expect(uses(1, 2, 3)).toEqual([3, 2, 0]);
});

test('a key that stays keeps its count, whatever becomes of others; a new one in the place of an old one begins at 0', () => {
  lab.datapath.removeKey(1);
  const three = lab.newKey(3);
  expect(uses(1, 2, 3)).toEqual([0, 2, 0]);
  ask(three);
  lab.newKey(2, { notAfterMs: lab.nowMs() + 3_600_000 });
  expect(uses(2, 3)).toEqual([2, 1]);
});

test('as many keys as there may be have a place each', () => {
  for (const id of lab.datapath.keyIds()) lab.datapath.removeKey(id);
  const keys = Array.from({ length: Limit.KEYS }, (_, i) => lab.newKey(1_000 + i));
  for (const [i, key] of keys.entries()) if (i % 50 === 0) ask(key, 1 + i / 50);
  expect(keys.map(({ id }) => lab.datapath.keyUses(id))).toEqual(keys.map((_, i) => (i % 50 === 0 ? 1 + i / 50 : 0)));
});
