import { expect, test } from 'vitest';
import { addressBytes, networkBytes } from '../../../src/gateway/addresses.ts';
import { AllowList } from '../../../src/gateway/responder/allow-list.ts';

const list = (...networks: string[]): AllowList => new AllowList(networks.map(networkBytes));

test('without networks anyone may ask', () => {
  expect(list().allows(addressBytes('192.0.2.1'))).toBe(true);
});

test.each([
  ['10.0.0.0/8', '10.255.0.1', true],
  ['10.0.0.0/8', '11.0.0.0', false],
  ['192.0.2.128/25', '192.0.2.127', false],
  ['192.0.2.128/25', '192.0.2.128', true],
  ['192.0.2.7/32', '192.0.2.7', true],
  ['192.0.2.7/32', '192.0.2.6', false],
  ['0.0.0.0/0', '203.0.113.9', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['2001:db8::/33', '2001:db8:7fff::1', true],
  ['2001:db8::/33', '2001:db8:8000::1', false],
  ['2001:db8::1/128', '2001:db8::1', true],
])('%s and %s: %s', (network, source, allowed) => {
  expect(list('198.51.100.0/24', network).allows(addressBytes(source))).toBe(allowed);
});
