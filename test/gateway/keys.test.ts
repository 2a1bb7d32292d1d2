import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Key as KernelKey, Limit, Suite } from '../../src/abi.ts';
import { AuthError, KeyFileError } from '../../src/auth/errors.ts';
import { parseKeyFile } from '../../src/auth/key-file.ts';
import { Key, type KeyFields, Keyring } from '../../src/auth/keyring.ts';
import { Keys, readKeys } from '../../src/gateway/keys.ts';
import type { KeyTable } from '../../src/gateway/ports.ts';

/** The kernel's maps in memory; fails at the calls that it is told to. */
class FakeTable implements KeyTable {
  readonly keys = new Map<number, KernelKey>();
  readonly history = new Map<number, Uint8Array>();
  /** Writes so far, by name. */
  readonly writes: string[] = [];
  /** Numbers of the writes that fail, counted from 0. */
  failAt = new Set<number>();

  #write(what: string, change: () => void): void {
    const failing = this.failAt.has(this.writes.length);
    this.writes.push(what);
    if (failing) throw new Error(`ENOMEM at ${what}`);
    change();
  }

  keyIds() {
    return [...this.keys.keys()];
  }
  key(id: number) {
    const key = this.keys.get(id);
    return key && copyOf(key);
  }
  putKey(id: number, key: KernelKey) {
    this.#write(`put ${id}`, () => {
      if (!this.keys.has(id) && this.keys.size === Limit.KEYS) throw new Error('E2BIG');
      this.keys.set(id, copyOf(key));
    });
  }
  removeKey(id: number) {
    this.#write(`remove ${id}`, () => this.keys.delete(id));
  }
  keyFingerprint(id: number) {
    return this.history.get(id);
  }
  rememberKey(id: number, fingerprint: Uint8Array) {
    this.#write(`remember ${id}`, () => this.history.set(id, fingerprint.slice()));
  }
  forgetKey(id: number) {
    this.#write(`forget ${id}`, () => this.history.delete(id));
  }

  snapshot() {
    return {
      keys: [...this.keys].map(([id, key]) => [id, copyOf(key)] as const).sort(([a], [b]) => a - b),
      history: [...this.history].sort(([a], [b]) => a - b),
    };
  }
}

function copyOf(key: KernelKey): KernelKey {
  return { ...key, guardKey: key.guardKey.slice(), innerState: [...key.innerState], outerState: [...key.outerState] };
}

type Entry = Partial<KeyFields> & { id: number; secret?: number };

function ring(...entries: Entry[]): Keyring {
  return new Keyring(
    entries.map(({ secret = 0, ...fields }) => {
      const { id } = fields;
      const base = {
        name: `key-${id}`,
        suite: 'hmac-sha256',
        encrypt: false,
        notBeforeMs: null,
        notAfterMs: null,
      } as const;
      return new Key({ ...base, ...fields }, new Uint8Array(32).fill(id + secret));
    }),
  );
}

let table: FakeTable;
let file: () => Keyring;
let read: Keyring[];
let keys: Keys;

/** What a start or a reload does. */
function reload() {
  const next = readKeys('/etc/keys.yaml', () => {
    const ring = file();
    read.push(ring);
    return ring;
  });
  return keys.apply(next);
}

/** Loads this as the key file. */
function load(...entries: Entry[]) {
  file = () => ring(...entries);
  return reload();
}

/** Whether a keyring's secrets are gone. */
function isWiped(ring: Keyring | undefined): boolean {
  const [key] = ring ?? [];
  try {
    key?.fingerprint();
    return false;
  } catch (error) {
    return error instanceof AuthError && error.code === 'KEY_WIPED';
  }
}

beforeEach(() => {
  table = new FakeTable();
  read = [];
  keys = new Keys(table);
});

test('the example file is valid', () => {
  const text = readFileSync(new URL('../../config/keys.example.yaml', import.meta.url), 'utf8');
  expect(parseKeyFile(text, 'keys.example.yaml').toJSON()).toEqual([
    { id: 1, name: 'example', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null },
  ]);
});

describe('what is applied', () => {
  test('a first load puts every key into the kernel, in its form', () => {
    expect(load({ id: 1 }, { id: 2, notBeforeMs: 5, notAfterMs: 9 })).toEqual({
      added: [
        { id: 1, name: 'key-1' },
        { id: 2, name: 'key-2' },
      ],
      removed: [],
      changed: [],
      kept: 0,
    });
    const [one, two] = ring({ id: 1 }, { id: 2 });
    expect(table.keys.get(1)).toEqual({
      notBeforeMs: 0n,
      notAfterMs: 0xffff_ffff_ffff_ffffn,
      guardKey: one?.guardKey,
      innerState: one?.padStates().inner,
      outerState: one?.padStates().outer,
      suite: Suite.HMAC_SHA256,
      encrypt: 0,
      usesAt: 0,
      zero: 0,
    });
    expect(table.keys.get(2)).toMatchObject({ notBeforeMs: 5n, notAfterMs: 9n });
    expect(table.history.get(2)).toEqual(two?.fingerprint());
  });

  test('a reload adds, changes and removes, and does not touch what stays', () => {
    load({ id: 1 }, { id: 2 }, { id: 3 });
    table.writes.length = 0;
    expect(load({ id: 1 }, { id: 3, notAfterMs: 7, name: 'c' }, { id: 4 })).toEqual({
      added: [{ id: 4, name: 'key-4' }],
      removed: [{ id: 2, name: 'key-2' }],
      changed: [{ id: 3, name: 'c', fields: ['name', 'notAfter'] }],
      kept: 1,
    });
    expect(table.writes).toEqual(['remember 4', 'put 3', 'put 4', 'remove 2']);
    expect(keys.list(0).map(({ id }) => id)).toEqual([1, 3, 4]);
  });

  test('an id is remembered before it works', () => {
    load({ id: 1 });
    expect(table.writes).toEqual(['remember 1', 'put 1']);
  });

  test('the same file again changes nothing', () => {
    load({ id: 1 }, { id: 2 });
    table.writes.length = 0;
    expect(load({ id: 1 }, { id: 2 })).toEqual({ added: [], removed: [], changed: [], kept: 2 });
    expect(table.writes).toEqual([]);
  });

  test('a whole new set of keys fits, though both together do not', () => {
    load(...Array.from({ length: Limit.KEYS }, (_, i) => ({ id: i + 1 })));
    load(...Array.from({ length: Limit.KEYS }, (_, i) => ({ id: i + 1001 })));
    expect(table.keyIds()).toEqual(Array.from({ length: Limit.KEYS }, (_, i) => i + 1001));
  });

  test('secrets that are no longer in force are wiped, the others not', () => {
    load({ id: 1 });
    load({ id: 1 }, { id: 2 });
    expect(read.map(isWiped)).toEqual([true, false]);
    expect(keys.inForce.get(1)?.fingerprint()).toHaveLength(16);
  });

  test('the next daemon takes what it finds, and removes what its file does not have', () => {
    load({ id: 1 }, { id: 2 });
    table.writes.length = 0;
    keys = new Keys(table);
    load({ id: 2 }, { id: 3 });
    expect(table.writes).toEqual(['remember 3', 'put 3', 'remove 1']);
    expect(table.keyIds().sort()).toEqual([2, 3]);
  });

  test('the list says what is valid now, and no secret', () => {
    load({ id: 1, notBeforeMs: 10, notAfterMs: 20 });
    expect(keys.list(9)).toEqual([
      { id: 1, name: 'key-1', suite: 'hmac-sha256', encrypt: false, notBeforeMs: 10, notAfterMs: 20, valid: false },
    ]);
    expect([keys.list(10)[0]?.valid, keys.list(20)[0]?.valid, keys.list(21)[0]?.valid]).toEqual([true, true, false]);
  });
});

describe('what is refused, with everything as it was', () => {
  function expectRefused(code: string, message: RegExp, ...entries: Entry[]): void {
    const before = table.snapshot();
    const inForce = keys.list(0);
    expect(() => load(...entries)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
    expect(table.snapshot()).toEqual(before);
    expect(keys.list(0)).toEqual(inForce);
    expect(isWiped(read.at(-1))).toBe(true);
    expect(keys.inForce.size === 0 || !isWiped(keys.inForce)).toBe(true);
  }

  test('another secret under an id in force', () => {
    load({ id: 1 }, { id: 2 });
    expectRefused(
      'KEY_ID_REUSED',
      /^key 2 \(key-2\): found another secret/,
      { id: 1 },
      { id: 2, secret: 1 },
      { id: 3 },
    );
  });

  test('an id that was gone comes back as it was, and not otherwise', () => {
    load({ id: 1 }, { id: 2 });
    load({ id: 1 });
    expectRefused('KEY_ID_REUSED', /key 2/, { id: 1 }, { id: 2, secret: 1 });
    expect(load({ id: 1 }, { id: 2 }).added).toEqual([{ id: 2, name: 'key-2' }]);
  });

  test('an id of an earlier daemon with another secret', () => {
    load({ id: 1 });
    keys = new Keys(table);
    expectRefused('KEY_ID_REUSED', /key 1/, { id: 1, secret: 1 });
  });

  test('a file that is bad', () => {
    load({ id: 1 });
    const bad = new KeyFileError('KEY_FILE_CONTENT', ['k.yaml:1: a', 'k.yaml:2: b']);
    file = () => {
      throw bad;
    };
    expect(() => reload()).toThrow(
      expect.objectContaining({ code: 'KEY_FILE_INVALID', message: 'k.yaml:1: a\nk.yaml:2: b', cause: bad }),
    );
    expect(keys.list(0)).toHaveLength(1);
    expect(isWiped(keys.inForce)).toBe(false);
  });
});

describe('a kernel that fails half-way', () => {
  const first: Entry[] = [{ id: 1 }, { id: 2 }, { id: 3 }];
  const second: Entry[] = [{ id: 2 }, { id: 3, notAfterMs: 7 }, { id: 4 }, { id: 5 }];
  const writes = ['remember 4', 'remember 5', 'put 3', 'put 4', 'put 5', 'remove 1'];

  test.each(writes.map((write, i) => [write, i] as const))(
    'at %s: all is as it was, and works again later',
    (write, i) => {
      load(...first);
      const before = table.snapshot();
      table.writes.length = 0;
      table.failAt = new Set([i]);
      expect(() => load(...second)).toThrow(
        expect.objectContaining({
          code: 'KEYS_NOT_APPLIED',
          exitStatus: 1,
          message: expect.stringMatching(`ENOMEM at ${write}.*the old keys are still in force`),
        }),
      );
      expect(table.snapshot()).toEqual(before);
      expect(keys.list(0).map(({ id }) => id)).toEqual([1, 2, 3]);
      expect(isWiped(read.at(-1))).toBe(true);
      expect(isWiped(keys.inForce)).toBe(false);

      table.failAt = new Set();
      expect(load(...second).added.map(({ id }) => id)).toEqual([4, 5]);
      expect(table.keyIds().sort()).toEqual([2, 3, 4, 5]);
    },
  );

  test('and fails again on the way back: the rest is still undone, and it is said', () => {
    load(...first);
    table.writes.length = 0;
    table.failAt = new Set([4, 5]);
    expect(() => load(...second)).toThrow(
      expect.objectContaining({ code: 'KEYS_NOT_APPLIED', message: expect.stringContaining('restart the gateway') }),
    );
    expect(table.writes).toEqual([...writes.slice(0, 5), 'remove 4', 'put 3', 'forget 5', 'forget 4']);
  });

  test('any sequence of files and failures: the kernel has what the keyring in force says', () => {
    const entry = fc.record({
      id: fc.integer({ min: 1, max: 5 }),
      secret: fc.nat(1),
      notAfterMs: fc.option(fc.nat(3)),
    });
    const step = fc.record({
      entries: fc.uniqueArray(entry, { selector: ({ id }) => id, maxLength: 5 }),
      failAt: fc.option(fc.nat(8), { nil: -1 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        table = new FakeTable();
        keys = new Keys(table);
        const stoodFor = new Map<number, string>();
        for (const { entries, failAt } of steps) {
          table.writes.length = 0;
          table.failAt = new Set([failAt]);
          const before = table.snapshot();
          try {
            load(...entries);
          } catch {
            expect(table.snapshot()).toEqual(before);
          }
          expect(table.keyIds().sort()).toEqual(keys.list(0).map(({ id }) => id));
          for (const key of keys.inForce) {
            const fingerprint = Buffer.from(key.fingerprint()).toString('hex');
            expect(stoodFor.get(key.id) ?? fingerprint).toBe(fingerprint);
            stoodFor.set(key.id, fingerprint);
            expect(table.keys.get(key.id)?.guardKey).toEqual(key.guardKey);
            expect(table.keys.get(key.id)?.notAfterMs).toBe(
              key.notAfterMs === null ? 2n ** 64n - 1n : BigInt(key.notAfterMs),
            );
          }
        }
      }),
    );
  });
});
