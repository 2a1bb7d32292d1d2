import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressBytes, addressText, endpointText, networkBytes } from '../../src/gateway/addresses.ts';
import { parseConfig } from '../../src/gateway/config.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test.each([
  ['192.0.2.1', '00000000000000000000ffffc0000201'],
  ['0.0.0.0', '00000000000000000000ffff00000000'],
  ['2001:db8::1', '20010db8000000000000000000000001'],
  ['::1', '00000000000000000000000000000001'],
])('%s', (text, bytes) => {
  expect(hex(addressBytes(text))).toBe(bytes);
  expect(addressText(addressBytes(text))).toBe(text);
});

test('endpoints', () => {
  expect(endpointText(addressBytes('192.0.2.1'), 80)).toBe('192.0.2.1:80');
  expect(endpointText(addressBytes('2001:db8::1'), 80)).toBe('[2001:db8::1]:80');
});

test.each([
  ['10.0.0.0/8', '00000000000000000000ffff0a000000', 104],
  ['0.0.0.0/0', '00000000000000000000ffff00000000', 96],
  ['192.0.2.1/32', '00000000000000000000ffffc0000201', 128],
  ['2001:db8::/32', '20010db8000000000000000000000000', 32],
])('network %s', (text, bytes, prefixLength) => {
  const network = networkBytes(text);
  expect([hex(network.bytes), network.prefixLength]).toEqual([bytes, prefixLength]);
});

test('any 16 bytes come back from their text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      expect(hex(addressBytes(addressText(bytes)))).toBe(hex(bytes));
    }),
  );
});

describe('listen.allow', () => {
  const allowed = (cidr: string) => parseConfig(`listen: { allow: ["${cidr}"] }`, '/g.yaml').listen.allow[0] ?? '';
  /** The address with all bits after the first `bits` cleared. */
  const masked = (bytes: Uint8Array, bits: number) => {
    return bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff);
  };

  test('IPv4: taken exactly where the host bits are zero, as the network that it says', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.nat(32), (bytes, bits) => {
        const network = masked(bytes, bits);
        const { bytes: kept, prefixLength } = networkBytes(allowed(`${network.join('.')}/${bits}`));
        expect([[...kept.slice(12)], prefixLength]).toEqual([[...network], bits + 96]);
        if (hex(network) !== hex(bytes)) expect(() => allowed(`${bytes.join('.')}/${bits}`)).toThrow(/zeros after/);
      }),
      { numRuns: 50 },
    );
  });

  test('IPv6: likewise, and never with the IPv4 addresses in it', () => {
    const words = (bytes: Uint8Array) => (hex(bytes).match(/.{4}/g) ?? []).join(':');
    const mapped = addressBytes('192.0.2.1');
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(128), (bytes, bits) => {
        const network = masked(bytes, bits);
        if (bits <= 96 && hex(masked(mapped, bits)) === hex(network)) {
          expect(() => allowed(`${words(network)}/${bits}`)).toThrow(/not take in the IPv4/);
          return;
        }
        const { bytes: kept, prefixLength } = networkBytes(allowed(`${words(network)}/${bits}`));
        expect([hex(kept), prefixLength]).toEqual([hex(network), bits]);
        if (hex(network) !== hex(bytes)) expect(() => allowed(`${words(bytes)}/${bits}`)).toThrow(/zeros after/);
      }),
      { numRuns: 50 },
    );
  });
});
