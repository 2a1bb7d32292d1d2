/** nginx takes the gateway's key file by the gateway's rules, or refuses it without a word of what is in it. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseKeyFile } from '../../../src/auth/key-file.ts';
import { newKeyEntry } from '../../../src/auth/new-key.ts';
import { LuaLab, luaString } from './lua-lab.ts';

const SECRET = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
const EXAMPLE = fs.readFileSync(new URL('../../../config/keys.example.yaml', import.meta.url), 'utf8');
const block = (lines: string) => `keys:\n  - id: 1\n    secret: "${SECRET}"\n${lines}`;

let lab: LuaLab;
beforeAll(async () => {
  lab = await LuaLab.start();
});
afterAll(() => lab?.close());

/** What the Lua parser makes of a text: `id suite encrypt` of each key, or `refused: …`. */
const parsed = (text: string) =>
  lab.run(`
    local keys, problem = require("session_gateway.key_file").parse(${luaString(text)}, "k.yaml")
    if keys == nil then return "refused: " .. problem end
    local found = {}
    for i, key in ipairs(keys) do
      found[i] = table.concat({ key.id, key.suite or "hmac-sha256", tostring(key.encrypt == true) }, " ")
    end
    return table.concat(found, ", ")`);

describe('is taken, and understood as the gateway understands it:', () => {
  test.each<[string, string]>([
    ['the example', EXAMPLE],
    ['a new key', `keys:\n${newKeyEntry({ id: 7, name: 'edge', suite: 'hmac-sha256' }, Buffer.from(SECRET, 'hex'))}`],
    ['two', `${block('')}  - id: 2\n    secret: '${SECRET}'\n    suite: blake2s\n    encrypt: true\n`],
    ['keys in braces', `keys:\n  - { id: 1, name: key-1, suite: hmac-sha256, encrypt: false, secret: "${SECRET}" }\n`],
    ['comments', `# a\n---\nkeys: # b\n\n  - id: 1 # c\n    # d\n    secret: "${SECRET}" # e\n`],
    ['no indentation', `keys:\n- id: 4294967295\n  secret: "${SECRET.toUpperCase()}"\n`],
    ['times', block('    notBefore: 2026-01-31T08:00:00Z\n    notAfter: "2027-01-31T08:00:00+01:00"\n')],
    ['line ends of Windows', block('    encrypt: true\n').replaceAll('\n', '\r\n')],
  ])('%s', async (_, text) => {
    const expected = [...parseKeyFile(text, 'k.yaml')].map(({ id, suite, encrypt }) => `${id} ${suite} ${encrypt}`);
    expect(await parsed(text)).toBe(expected.join(', '));
  });
});

describe('is refused, as the gateway refuses it:', () => {
  test.each<[string, string]>([
    ['nothing', ''],
    ['no keys', 'keys:\n'],
    ['another head', `key:\n  - id: 1\n    secret: "${SECRET}"\n`],
    ['no secret', 'keys:\n  - id: 1\n'],
    ['no id', `keys:\n  - secret: "${SECRET}"\n`],
    ['id 0', block('').replace('id: 1', 'id: 0')],
    ['an id too large', block('').replace('id: 1', 'id: 4294967296')],
    ['an id in quotes', block('').replace('id: 1', 'id: "1"')],
    ['a short secret', block('').replace('1e1f', '')],
    ['a secret with other signs', block('').replace('1e1f', '1e1g')],
    ['digits without quotes', `keys:\n  - id: 1\n    secret: ${'12'.repeat(32)}\n`],
    ['an unknown name', block('    colour: red\n')],
    ['an unknown suite', block('    suite: md5\n')],
    ['encrypt in quotes', block('    encrypt: "true"\n')],
    ['a name twice', block('    id: 2\n')],
    ['an id twice', `${block('')}  - id: 1\n    name: other\n    secret: "${SECRET}"\n`],
    ['a secret in the place of a name', block(`    ${SECRET}: 1\n`)],
    ['a missing space', `keys:\n  - id: 1\n    secret:"${SECRET}"\n`],
    ['another indentation', block('   encrypt: true\n')],
    ['a tab', block('\tencrypt: true\n')],
    ['an open brace', `keys:\n  - { id: 1, secret: "${SECRET}"\n`],
    [
      '257 keys',
      `keys:\n${Array.from({ length: 257 }, (_, i) => `  - { id: ${i + 1}, secret: "${SECRET}" }\n`).join('')}`,
    ],
  ])('%s', async (_, text) => {
    expect(() => parseKeyFile(text, 'k.yaml')).toThrow();
    const problem = await parsed(text);
    expect(problem).toMatch(/^refused: k\.yaml:\d+: found .+, allowed: .+/);
    expect(problem.toLowerCase()).not.toContain(SECRET.slice(8, 20));
  });
});

describe('on disk', () => {
  const write = (name: string, mode: number, text = block('')) => {
    const path = join(lab.directory, name);
    fs.writeFileSync(path, text);
    fs.chmodSync(path, mode);
    return path;
  };
  const read = (path: string, id?: number) =>
    lab.run(`
      local key, problem = require("session_gateway.key_file").read(${luaString(path)}, ${id ?? 'nil'})
      return key and "key " .. key.id or problem`);

  test('is read where nobody else can read it', async () => {
    expect(await read(write('own.yaml', 0o600))).toBe('key 1');
    expect(await read(write('group.yaml', 0o640))).toBe('key 1');
    const path = join(lab.directory, 'link.yaml');
    fs.symlinkSync(join(lab.directory, 'own.yaml'), path);
    expect(await read(path)).toBe('key 1');
  });

  test('is refused where others can, or a group that is not the own', async () => {
    const others = write('others.yaml', 0o604);
    expect(await read(others)).toBe(
      `${others}: found mode 0604, group 0, allowed: no access for others; run: chmod o= ${others} (and replace the secrets if others could read them)`,
    );
    const group = write('foreign.yaml', 0o640);
    fs.chownSync(group, 0, 12_345);
    expect(await read(group)).toContain('group 12345, allowed: access for the group only if it is one of this process');
  });

  test('is refused where it is none, too large, or not there', async () => {
    expect(await read(lab.directory)).toContain('allowed: a regular file');
    const pipe = join(lab.directory, 'pipe.yaml');
    execFileSync('mkfifo', ['-m', '600', pipe]);
    expect(await read(pipe)).toContain('allowed: a regular file');
    const large = write('large.yaml', 0o600, block(`#${' '.repeat(256 * 1024)}\n`));
    expect(await read(large)).toContain('found more than 262144 bytes');
    expect(await read(join(lab.directory, 'none.yaml'))).toContain('No such file');
  });

  test('has the key that signs: the only one, or the one that is named', async () => {
    const two = write('two.yaml', 0o600, `${block('')}  - id: 2\n    secret: "${SECRET}"\n`);
    expect(await read(two)).toBe(`key: found none, allowed: one of those in ${two}: 1, 2`);
    expect(await read(two, 2)).toBe('key 2');
    expect(await read(two, 3)).toBe(`key: found 3, allowed: one of those in ${two}: 1, 2`);
  });
});
