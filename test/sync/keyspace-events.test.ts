import { expect, it } from 'vitest';
import { missingEvents, withNeededEvents } from '../../src/sync/keyspace-events.ts';

it.each([
  ['', 'Kg$hxe'],
  ['KA', ''],
  ['AKE', ''],
  ['EA', 'K'],
  ['xE', 'Kg$he'],
  ['xeh$gK', ''],
  ['Kg$lszxetdmn', 'h'],
])('of %j is missing %j', (flags, missing) => {
  expect(missingEvents(flags)).toBe(missing);
  expect(withNeededEvents(flags)).toBe(flags + missing);
  expect(missingEvents(withNeededEvents(flags))).toBe('');
});
