/** The layouts that C and TypeScript share: generated anew, and read back as written. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as abi from '../src/abi.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

test('src/abi.ts is what bpf/abi.h gives', () => {
  execFileSync(process.execPath, [path('../scripts/generate-abi.ts'), '--check'], { stdio: 'pipe' });
});

test('every struct of the header is generated', () => {
  const header = readFileSync(path('../bpf/abi.h'), 'utf8');
  const structs = [...header.matchAll(/^struct (\w+) \{/gm)].map((match) => match[1] ?? '');
  expect(structs.length).toBeGreaterThan(10);
  for (const name of structs) {
    const camel = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    expect(Object.keys(abi), `struct ${name}`).toContain(`${camel}Layout`);
  }
});

test('sizes of the wire are the protocol’s', () => {
  expect(abi.wireHeaderLayout.size).toBe(24);
  expect(abi.lookupRequestLayout.size).toBe(80);
  expect(abi.lookupReplyLayout.size).toBe(80);
  expect(abi.factReplyLayout.size).toBe(80);
  expect(abi.batchPrefixLayout.size).toBe(32);
  expect(abi.batchEntryLayout.size).toBe(16);
});

test('verdicts are numbered without gaps, so that each has its counter', () => {
  const numbers = Object.values(abi.Verdict).sort((a, b) => a - b);
  expect(numbers).toEqual(Array.from({ length: abi.Verdict.COUNT + 1 }, (_, i) => i));
});

describe('codecs', () => {
  test('a struct of every kind of field is read back as written, at its offsets', () => {
    const key: abi.Key = {
      notBeforeMs: 1n,
      notAfterMs: 2n ** 64n - 1n,
      guardKey: Uint8Array.from({ length: 16 }, (_, i) => i),
      innerState: Array.from({ length: 8 }, (_, i) => 0xffff_fff0 + i),
      outerState: Array.from({ length: 8 }, (_, i) => i),
      suite: abi.Suite.BLAKE2S,
      encrypt: 1,
      usesAt: 3,
      zero: 0,
    };
    const view = new DataView(new ArrayBuffer(abi.keyLayout.size + 3));
    abi.writeKey(view, 3, key);
    expect(abi.readKey(view, 3)).toEqual(key);
    expect(view.getUint32(3 + abi.keyLayout.offset.suite, true)).toBe(abi.Suite.BLAKE2S);
  });

  test('the wire is big-endian', () => {
    const view = new DataView(new ArrayBuffer(abi.wireHeaderLayout.size));
    abi.writeWireHeader(view, 0, {
      magic: abi.Wire.MAGIC,
      version: 1,
      type: 2,
      keyId: 0x01020304,
      timeMs: 0x05060708090a0b0cn,
      nonce: new Uint8Array(8),
    });
    expect(Buffer.from(view.buffer).toString('hex', 0, 16)).toBe('53470102' + '01020304' + '05060708090a0b0c');
  });

  test('bytes of another length are refused', () => {
    const view = new DataView(new ArrayBuffer(16));
    expect(() => abi.writeSessionKey(view, 0, { hash: new Uint8Array(15) })).toThrow(RangeError);
  });
});
