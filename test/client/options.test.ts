import { describe, expect, it } from 'vitest';
import { Key } from '../../src/auth/keyring.ts';
import { type LookupClientOptions, settingsFrom } from '../../src/client/options.ts';
import { cookieTransforms } from '../../src/client/transforms.ts';
import { makeKey, SECRET, SECRET_HEX, showsSecret } from '../auth/support/keys.ts';

const KEY = makeKey();
const LEAST: LookupClientOptions = { servers: [{ host: '10.0.0.1' }], key: KEY };
const hosts = (count: number) => Array.from({ length: count }, (_, i) => ({ host: `10.0.0.${i}` }));

/** As it comes from plain JavaScript. */
function settingsFromAny(options: unknown): unknown {
  return settingsFrom(options as LookupClientOptions);
}

it('has defaults for all but servers and key', () => {
  expect(settingsFrom(LEAST)).toEqual({
    servers: [{ host: '10.0.0.1', port: 6464 }],
    key: KEY,
    ownsKey: false,
    timeoutMs: 20,
    tryTimeoutMs: 10,
    hedgeAfterMs: null,
    spread: true,
    cookieTransform: cookieTransforms.raw,
    maxInFlight: 16_384,
  });
});

it.each([
  [1, 20, 10],
  [2, 20, 10],
  [3, 20, 7],
  [4, 20, 5],
  [9, 20, 5],
  [1, 1, 1],
  [3, 1000, 334],
])('gives each try of %i gateways in %i ms %i ms', (count, timeoutMs, tryTimeoutMs) => {
  expect(settingsFrom({ ...LEAST, servers: hosts(count), timeoutMs }).tryTimeoutMs).toBe(tryTimeoutMs);
});

it('makes a key of its parts, with the defaults of the key file', () => {
  const { key, ownsKey } = settingsFrom({ ...LEAST, key: { id: 3, secret: SECRET_HEX } });
  expect(ownsKey).toBe(true);
  expect(key).toBeInstanceOf(Key);
  expect(key.toJSON()).toMatchObject({ id: 3, suite: 'hmac-sha256', encrypt: false });
  expect(key.fingerprint()).toEqual(makeKey({ id: 3 }).fingerprint());
  const parts = { id: 3, secret: SECRET, suite: 'blake2s', encrypt: true } as const;
  const fingerprint = makeKey({ id: 3, suite: 'blake2s', encrypt: true }).fingerprint();
  expect(settingsFrom({ ...LEAST, key: parts }).key.fingerprint()).toEqual(fingerprint);
  expect(Buffer.from(SECRET).toString('hex')).toBe(SECRET_HEX);
});

it('takes a function for a transform', () => {
  const cookieTransform = () => 'x';
  expect(settingsFrom({ ...LEAST, cookieTransform }).cookieTransform).toBe(cookieTransform);
});

describe('refuses', () => {
  it.each([
    ['options: found undefined', undefined],
    ['options: found null', null],
    ['options: found timeoutMS, allowed: servers, key, timeoutMs', { ...LEAST, timeoutMS: 5 }],
    ['servers: found undefined, allowed: a list', { key: KEY }],
    ['servers[0]: found string, allowed: an object', { ...LEAST, servers: ['10.0.0.1:6464'] }],
    ['servers[0].host: found undefined', { ...LEAST, servers: [{}] }],
    ['servers[0].port: found string', { ...LEAST, servers: [{ host: '::1', port: '6464' }] }],
    ['key: found undefined', { servers: LEAST.servers }],
    ['key: found null', { ...LEAST, key: null }],
    ['secret: found undefined', { ...LEAST, key: { id: 1 } }],
    ['id: found undefined', { ...LEAST, key: { secret: SECRET_HEX } }],
    ['encrypt: allowed: true or false', { ...LEAST, key: { id: 1, secret: SECRET_HEX, encrypt: 1 } }],
    ['timeoutMs: found string', { ...LEAST, timeoutMs: '20' }],
    ['hedgeAfterMs: found boolean', { ...LEAST, hedgeAfterMs: true }],
    ['spread: found string', { ...LEAST, spread: 'no' }],
    ['cookieTransform: found number', { ...LEAST, cookieTransform: 5 }],
  ])('a wrong type: %s', (message, options) => {
    expect(() => settingsFromAny(options)).toThrow(TypeError);
    expect(() => settingsFromAny(options)).toThrow(message);
  });

  it.each([
    ['servers.length: found 0, allowed: an integer from 1 to 64', { ...LEAST, servers: [] }],
    ['servers.length: found 65', { ...LEAST, servers: hosts(65) }],
    ['servers[0].host: found ""', { ...LEAST, servers: [{ host: '' }] }],
    ['servers[0].host: found "[::1]", allowed: an IP literal without', { ...LEAST, servers: [{ host: '[::1]' }] }],
    ['servers[0].host: found "a b"', { ...LEAST, servers: [{ host: 'a b' }] }],
    ['servers[0].port: found 0', { ...LEAST, servers: [{ host: '::1', port: 0 }] }],
    ['servers[0].port: found 65536', { ...LEAST, servers: [{ host: '::1', port: 65536 }] }],
    [
      'servers[1]: found GW.example port 6464 again',
      { ...LEAST, servers: [{ host: 'gw.example' }, { host: 'GW.example' }] },
    ],
    ['timeoutMs: found 0', { ...LEAST, timeoutMs: 0 }],
    ['timeoutMs: found 60001', { ...LEAST, timeoutMs: 60_001 }],
    ['timeoutMs: found 1.5', { ...LEAST, timeoutMs: 1.5 }],
    ['timeoutMs: found NaN', { ...LEAST, timeoutMs: Number.NaN }],
    ['tryTimeoutMs: found 21, allowed: an integer from 1 to 20', { ...LEAST, tryTimeoutMs: 21 }],
    ['hedgeAfterMs: found 10, allowed: an integer from 1 to 9', { ...LEAST, hedgeAfterMs: 10 }],
    ['hedgeAfterMs: found 0', { ...LEAST, hedgeAfterMs: 0 }],
    ['maxInFlight: found 0', { ...LEAST, maxInFlight: 0 }],
    [
      'cookieTransform: found "django", allowed: a function or one of raw, express, base64',
      { ...LEAST, cookieTransform: 'django' },
    ],
    ['cookieTransform: found "toString"', { ...LEAST, cookieTransform: 'toString' }],
    ['suite: allowed: hmac-sha256, blake2s', { ...LEAST, key: { id: 1, secret: SECRET_HEX, suite: 'md5' } }],
    ['id: found 0', { ...LEAST, key: { id: 0, secret: SECRET_HEX } }],
    ['secret: found 31 bytes', { ...LEAST, key: { id: 1, secret: SECRET.subarray(1) } }],
  ])('a wrong value: %s', (message, options) => {
    expect(() => settingsFromAny(options)).toThrow(RangeError);
    expect(() => settingsFromAny(options)).toThrow(message);
  });

  it.each([`${SECRET_HEX}0`, SECRET_HEX.slice(1), `x${SECRET_HEX.slice(1)}`, ` ${SECRET_HEX.slice(1)}`])(
    'a secret that is not 64 hexadecimal digits, without showing it',
    (secret) => {
      let message = '';
      try {
        settingsFrom({ ...LEAST, key: { id: 1, secret } });
      } catch (error) {
        message = String(error);
      }
      expect(message).toMatch(/^RangeError: secret: /);
      expect(showsSecret(message, SECRET)).toBe(false);
    },
  );
});
