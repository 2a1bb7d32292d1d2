import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AuthError } from '../../src/auth/errors.ts';
import { compareKeyrings, type KeyFields, Keyring } from '../../src/auth/keyring.ts';
import { hmacPadStates } from '../../src/auth/pad-states.ts';
import { guardKey, prf } from '../../src/auth/suites.ts';
import { makeKey, SECRET, showsSecret } from './support/keys.ts';
import { hex } from './support/vectors.ts';

const OTHER_SECRET = new Uint8Array(32).fill(0x5a);
const MESSAGE = new TextEncoder().encode('message');

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    return error instanceof AuthError ? error.code : String(error);
  }
  return undefined;
}

describe('Key', () => {
  it('computes with its secret', () => {
    for (const suite of ['hmac-sha256', 'blake2s'] as const) {
      const key = makeKey({ suite });
      expect(hex(key.prf(MESSAGE))).toBe(hex(prf(suite, SECRET, MESSAGE)));
      expect(hex(key.guardKey)).toBe(hex(guardKey(suite, SECRET)));
    }
    expect(makeKey().padStates()).toEqual(hmacPadStates(SECRET));
    expect(makeKey({ suite: 'blake2s' }).padStates().outer).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('keeps a copy of the secret', () => {
    const secret = SECRET.slice();
    const key = makeKey({}, secret);
    secret.fill(0);
    expect(key.padStates()).toEqual(hmacPadStates(SECRET));
  });

  it('never shows the secret or what is derived from it', () => {
    const key = makeKey({ notBeforeMs: 5 });
    const keyring = new Keyring([key]);
    const printed = [key, keyring, { nested: [key] }].flatMap((value) => [
      inspect(value, { depth: null, showHidden: true, getters: true }),
      JSON.stringify(value),
      String(value),
      `${JSON.stringify(Object.entries(value))}`,
    ]);
    expect(JSON.parse(JSON.stringify(key))).toEqual({
      id: 1,
      name: 'key-1',
      suite: 'hmac-sha256',
      encrypt: false,
      notBeforeMs: 5,
      notAfterMs: null,
    });
    for (const text of printed) {
      expect(showsSecret(text, SECRET)).toBe(false);
      expect(showsSecret(text, key.guardKey)).toBe(false);
    }
    expect(showsSecret(`x ${Buffer.from(SECRET).toString('hex')}`, SECRET)).toBe(true);
    expect(showsSecret(inspect(SECRET), SECRET)).toBe(true);
  });

  it('throws KEY_WIPED for whatever needs the secret, once wiped, and zeroes what it gave out', () => {
    for (const suite of ['hmac-sha256', 'blake2s'] as const) {
      const key = makeKey({ suite });
      const guard = key.guardKey;
      key.wipe();
      key.wipe();
      expect(guard).toEqual(new Uint8Array(16));
      expect(codeOf(() => key.prf(MESSAGE))).toBe('KEY_WIPED');
      expect(codeOf(() => key.guardKey)).toBe('KEY_WIPED');
      expect(codeOf(() => key.padStates())).toBe('KEY_WIPED');
      expect(codeOf(() => key.fingerprint())).toBe('KEY_WIPED');
      expect(String(key)).toBe('key 1 (key-1)');
      expect(key.validAt(0)).toBe(true);
    }
  });

  it('has a fingerprint of its own for each secret, suite and encryption setting, and for nothing else', () => {
    const prints = [
      makeKey(),
      makeKey({ encrypt: true }),
      makeKey({ suite: 'blake2s' }),
      makeKey({ suite: 'blake2s', encrypt: true }),
      makeKey({}, OTHER_SECRET),
    ].map((key) => hex(key.fingerprint()));
    expect(new Set(prints).size).toBe(5);
    expect(prints[0]).toHaveLength(32);
    expect(hex(makeKey({ id: 9, name: 'other', notAfterMs: 4 }).fingerprint())).toBe(prints[0]);
    expect(prints[0]).not.toBe(hex(makeKey().guardKey));
  });

  it('keeps giving the same fingerprint: it is stored with the pins', () => {
    const message = new TextEncoder().encode('session-gateway fingerprint v1 hmac-sha256\0' + '0');
    expect(hex(makeKey().fingerprint())).toBe(hex(prf('hmac-sha256', SECRET, message).slice(0, 16)));
  });

  it('is valid from notBefore to notAfter, both included', () => {
    const key = makeKey({ notBeforeMs: 1000, notAfterMs: 2000 });
    expect([999, 1000, 1500, 2000, 2001].map((ms) => key.validAt(ms))).toEqual([false, true, true, true, false]);
    expect(makeKey({ notBeforeMs: 7, notAfterMs: 7 }).validAt(7)).toBe(true);
    expect(makeKey({ notBeforeMs: 7 }).validAt(Number.MAX_SAFE_INTEGER)).toBe(true);
    expect(makeKey({ notAfterMs: 7 }).validAt(0)).toBe(true);
  });

  it.each<[string, Partial<KeyFields>]>([
    ['id 0', { id: 0 }],
    ['id over 32 bits', { id: 2 ** 32 }],
    ['id that is no integer', { id: 1.5 }],
    ['empty name', { name: '' }],
    ['name with a space', { name: 'a b' }],
    ['name with a line break', { name: 'a\n' }],
    ['name as long as a secret', { name: 'a'.repeat(64) }],
    ['unknown suite', { suite: 'md5' as KeyFields['suite'] }],
    ['negative time', { notBeforeMs: -1 }],
    ['time that is no integer', { notAfterMs: 0.5 }],
    ['times the wrong way round', { notBeforeMs: 2, notAfterMs: 1 }],
  ])('refuses %s', (_, fields) => {
    expect(() => makeKey(fields)).toThrow(RangeError);
  });

  it('refuses wrong types', () => {
    expect(() => makeKey({ id: '1' as unknown as number, name: 'x' })).toThrow(TypeError);
    expect(() => makeKey({ name: 5 as unknown as string })).toThrow(TypeError);
    expect(() => makeKey({ encrypt: 1 as unknown as boolean })).toThrow(TypeError);
  });

  it('shows nothing of a secret of the wrong length', () => {
    expect(() => makeKey({}, SECRET.subarray(0, 31))).toThrow(new RangeError('secret: found 31 bytes, allowed: 32'));
  });
});

describe('Keyring', () => {
  it('finds keys by id and goes through them in order', () => {
    const keys = [makeKey({ id: 4294967295 }), makeKey({ id: 3 }), makeKey({ id: 7 })];
    const keyring = new Keyring(keys);
    expect(keyring.size).toBe(3);
    expect([...keyring].map((key) => key.id)).toEqual([3, 7, 4294967295]);
    expect(keyring.get(7)).toBe(keys[2]);
    expect(keyring.get(0)).toBeUndefined();
  });

  it('refuses an id or a name that is there twice', () => {
    expect(codeOf(() => new Keyring([makeKey(), makeKey({ name: 'x' })]))).toBe('KEY_DUPLICATE');
    expect(codeOf(() => new Keyring([makeKey({ name: 'x' }), makeKey({ id: 2, name: 'x' })]))).toBe('KEY_DUPLICATE');
  });

  it('holds 256 keys and no more', () => {
    const keys = Array.from({ length: 257 }, (_, i) => makeKey({ id: i + 1 }));
    expect(new Keyring(keys.slice(0, 256)).size).toBe(256);
    expect(codeOf(() => new Keyring(keys))).toBe('KEYS_TOO_MANY');
  });

  it('wipes its keys and not those of the next keyring', () => {
    const current = new Keyring([makeKey(), makeKey({ id: 2 }, OTHER_SECRET)]);
    const next = new Keyring([makeKey()]);
    compareKeyrings(current, next);
    current.wipe();
    expect(codeOf(() => current.get(1)?.prf(MESSAGE))).toBe('KEY_WIPED');
    expect(codeOf(() => current.get(2)?.prf(MESSAGE))).toBe('KEY_WIPED');
    expect(next.get(1)?.prf(MESSAGE)).toEqual(prf('hmac-sha256', SECRET, MESSAGE));
  });
});

describe('compareKeyrings', () => {
  it('tells what was added, removed, changed and kept', () => {
    const current = new Keyring([makeKey({ id: 1 }), makeKey({ id: 2 }), makeKey({ id: 3 })]);
    const renamed = makeKey({ id: 2, name: 'new-name', notBeforeMs: 1, notAfterMs: 9 });
    const next = new Keyring([makeKey({ id: 5 }), makeKey({ id: 4 }), renamed, makeKey({ id: 1 })]);
    const { added, removed, changed, kept } = compareKeyrings(current, next);
    expect(added).toEqual([next.get(4), next.get(5)]);
    expect(removed).toEqual([current.get(3)]);
    expect(changed).toEqual([{ before: current.get(2), after: renamed, fields: ['name', 'notBefore', 'notAfter'] }]);
    expect(kept).toHaveLength(1);
    expect(kept[0]).toBe(next.get(1));
  });

  it.each<[string, Partial<KeyFields>, Uint8Array, string]>([
    ['secret', {}, OTHER_SECRET, 'the secret is another one'],
    ['suite', { suite: 'blake2s' }, SECRET, 'suite is blake2s, was hmac-sha256'],
    ['encryption', { encrypt: true }, SECRET, 'encrypt is true, was false'],
  ])('refuses another %s under a kept id', (_, fields, secret, reason) => {
    const compare = () => compareKeyrings(new Keyring([makeKey()]), new Keyring([makeKey(fields, secret)]));
    expect(codeOf(compare)).toBe('KEY_ID_REUSED');
    expect(compare).toThrow(`key 1 (key-1): ${reason}\n`);
  });

  it('names every reused id', () => {
    const current = new Keyring([makeKey({ id: 1 }), makeKey({ id: 2 })]);
    const next = new Keyring([makeKey({ id: 1 }, OTHER_SECRET), makeKey({ id: 2, encrypt: true })]);
    expect(() => compareKeyrings(current, next)).toThrow(/^key 1 .*\nkey 2 .*\n.*new id/);
  });

  it('puts every key of either keyring in exactly one list', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 12 }));
    const names = fc.constantFrom<Partial<KeyFields>>({}, { notAfterMs: 3 });
    fc.assert(
      fc.property(ids, ids, names, (before, after, fields) => {
        const current = new Keyring(before.map((id) => makeKey({ id })));
        const next = new Keyring(after.map((id) => makeKey({ id, ...fields })));
        const { added, removed, changed, kept } = compareKeyrings(current, next);
        const inNext = [...added, ...kept, ...changed.map((change) => change.after)];
        const inCurrent = [...removed, ...kept, ...changed.map((change) => change.before)];
        const sorted = (list: readonly { id: number }[]) => list.map((key) => key.id).sort((a, b) => a - b);
        expect(sorted(inNext)).toEqual(sorted([...next]));
        expect(sorted(inCurrent)).toEqual(sorted([...current]));
      }),
      { numRuns: 30 },
    );
  });
});
