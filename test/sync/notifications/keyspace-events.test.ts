import { expect, it } from 'vitest';
import { missingEvents, withNeededEvents } from '../../../src/sync/notifications/keyspace-events.ts';

it.each([
  ['', 'Kg$hzxe'],
  ['KA', ''],
  ['AKE', ''],
  ['EA', 'K'],
  ['xE', 'Kg$hze'],
  ['xezh$gK', ''],
  ['Kg$hxe', 'z'],
  ['Kg$lszxetdmn', 'h'],
])('of %j is missing %j', (flags, missing) => {
  expect(missingEvents(flags)).toBe(missing);
  expect(withNeededEvents(flags)).toBe(flags + missing);
  expect(missingEvents(withNeededEvents(flags))).toBe('');
});
