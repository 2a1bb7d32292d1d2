import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KeyFileError } from '../../src/auth/errors.ts';
import { Key } from '../../src/auth/keyring.ts';
import { readKey } from '../../src/client/client-key.ts';
import { makeKey, SECRET_HEX } from '../auth/support/keys.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'client-key-'));
  path = join(folder, 'keys.yaml');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(ids: readonly number[], mode = 0o600): void {
  const keys = ids.map((id) => `  - { id: ${id}, secret: "${SECRET_HEX}", encrypt: true }`);
  writeFileSync(path, ['keys:', ...keys, ''].join('\n'), { mode });
}

it('reads the only key of a file', async () => {
  write([7]);
  expect((await readKey(path)).fingerprint()).toEqual(makeKey({ id: 7, encrypt: true }).fingerprint());
});

it('reads the key of an id out of several', async () => {
  write([7, 8]);
  const key = await readKey(path, 8);
  expect(key.id).toBe(8);
  expect(key.prf(new Uint8Array(1))).toHaveLength(32);
});

it('wipes the keys that it leaves in the file', async () => {
  write([7, 8, 9]);
  const wipe = vi.spyOn(Key.prototype, 'wipe');
  try {
    await readKey(path, 8);
    expect(wipe.mock.contexts.map((key) => (key as Key).id)).toEqual([7, 9]);
  } finally {
    wipe.mockRestore();
  }
});

it('refuses to choose among several, naming them', async () => {
  write([7, 8]);
  await expect(readKey(path)).rejects.toThrow(new RangeError(`id: found none, allowed: one of those in ${path}: 7, 8`));
});

it('refuses an id that the file does not have', async () => {
  write([7]);
  await expect(readKey(path, 9)).rejects.toThrow(new RangeError(`id: found 9, allowed: one of those in ${path}: 7`));
});

it('refuses a file that others can read, as gateways do', async () => {
  write([7]);
  chmodSync(path, 0o644);
  await expect(readKey(path)).rejects.toBeInstanceOf(KeyFileError);
});

it('refuses a file that is not there', async () => {
  await expect(readKey(path)).rejects.toMatchObject({ code: 'KEY_FILE_UNREADABLE' });
});
