import { describe, expect, it } from 'vitest';
import { parseKeyFile } from '../../src/auth/key-file.ts';
import { newKeyEntry } from '../../src/auth/new-key.ts';
import { SECRET, SECRET_HEX } from './support/keys.ts';

describe('newKeyEntry', () => {
  it('writes four lines for the list of keys', () => {
    expect(newKeyEntry({ id: 7, name: 'edge-fleet', suite: 'blake2s' }, SECRET)).toBe(
      `  - id: 7\n    name: "edge-fleet"\n    suite: blake2s\n    secret: "${SECRET_HEX}"\n`,
    );
  });

  it('writes what the key file takes, though a name or secret looks like a number', () => {
    const digits = new Uint8Array(32).fill(0x12);
    const entries = [
      newKeyEntry({ id: 1, name: '1e5', suite: 'hmac-sha256' }, digits),
      newKeyEntry({ id: 2, name: 'null', suite: 'blake2s' }, SECRET),
    ];
    const keyring = parseKeyFile(`keys:\n${entries.join('')}`, 'k');
    expect([...keyring].map((key) => key.name)).toEqual(['1e5', 'null']);
  });

  it('refuses fields that the key file would refuse', () => {
    expect(() => newKeyEntry({ id: 0, name: 'x', suite: 'blake2s' }, SECRET)).toThrow(RangeError);
    expect(() => newKeyEntry({ id: 1, name: 'a"b', suite: 'blake2s' }, SECRET)).toThrow(RangeError);
    expect(() => newKeyEntry({ id: 1, name: 'x', suite: 'blake2s' }, SECRET.subarray(1))).toThrow(RangeError);
  });
});
