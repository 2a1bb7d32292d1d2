import { isIPv6, SocketAddress } from 'node:net';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addressText } from '../../src/client/address-text.ts';

it.each([
  ['00000000000000000000ffff0a000001', '10.0.0.1'],
  ['00000000000000000000ffff00000000', '0.0.0.0'],
  ['20010db8000000000000000000000001', '2001:db8::1'],
  ['fd000000000000010000000000000001', 'fd00:0:0:1::1'],
  ['00000000000000000000000000000001', '::1'],
  ['00010000000000000000ffff0a000001', '1::ffff:a00:1'],
  ['00000000000000000000000000000000', null],
])('writes %s as %s', (bytes, text) => {
  expect(addressText(Uint8Array.from(Buffer.from(bytes, 'hex')))).toBe(text);
});

it('writes every IPv6 address so that it is read again as the same', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const text = addressText(bytes) ?? '';
      fc.pre(text.includes(':'));
      const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g)?.join(':') ?? '';
      expect(isIPv6(text)).toBe(true);
      expect(text).toBe(new SocketAddress({ family: 'ipv6', address: groups }).address);
    }),
  );
});
