import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readToken, Token } from '../../../src/gateway/control/token.ts';

const TOKEN = 'SENTINEL-0123456789abcdef0123456789abcdef';
let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'token-'));
  path = join(folder, 'token');
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(text: string | Uint8Array, mode = 0o600): void {
  writeFileSync(path, text);
  chmodSync(path, mode);
}

test.each(['', '\n', '\r\n'])('the token is the line, whatever its end: %j', (end) => {
  write(TOKEN + end);
  const token = readToken(path);
  expect(token.matches(TOKEN)).toBe(true);
  for (const other of ['', TOKEN.slice(1), `${TOKEN} `, TOKEN.toLowerCase(), `${TOKEN}${TOKEN}`]) {
    expect(token.matches(other)).toBe(false);
  }
});

test('32 to 1024 characters', () => {
  for (const length of [32, 1024]) {
    write(`${'x'.repeat(length)}\r\n`);
    expect(readToken(path).matches('x'.repeat(length))).toBe(true);
  }
});

describe('what is refused, and never shown', () => {
  test.each([
    ['', 'a token of 0 characters'],
    ['SENTINEL', 'a token of 8 characters'],
    [`SENTINEL${'x'.repeat(23)}`, 'a token of 31 characters'],
    [`SENTINEL${'x'.repeat(1017)}`, 'a token of 1025 characters'],
    [`${TOKEN}\n\n`, 'a token with white space'],
    [`${TOKEN}\n${TOKEN}`, 'a token with white space'],
    [`${TOKEN} x`, 'a token with white space'],
    [`${TOKEN}\0`, 'a token with white space or other than ASCII'],
    [`${TOKEN}ü`, 'a token with white space or other than ASCII'],
    ['x'.repeat(1027), 'more than 1026 bytes'],
    [Uint8Array.of(...Buffer.from(TOKEN), 0xff), 'bytes that are not UTF-8'],
  ])('%j', (text, found) => {
    write(text);
    const refused = refusal();
    expect(refused).toMatchObject({ code: 'TOKEN_FILE_INVALID', exitStatus: 2, httpStatus: 422 });
    expect(String(refused)).toContain(`control.tokenFile: ${path}: found ${found}`);
    expect(inspect(refused, { depth: 9 })).not.toContain('SENTINEL');
  });

  test.each([0o644, 0o604, 0o602, 0o601])('mode 0%o', (mode) => {
    write(TOKEN, mode);
    expect(String(refusal())).toContain(`found mode 0${mode.toString(8)}`);
  });

  test('a group that is not its own', () => {
    write(TOKEN, 0o640);
    expect(String(refusal([statSync(path).gid + 1]))).toContain('access for the group only if');
    expect(readToken(path).matches(TOKEN)).toBe(true);
  });

  test('what is no file', () => {
    expect(String(refusal())).toContain("can't be read: ENOENT");
    mkdirSync(path);
    expect(String(refusal())).toContain('found a directory');
    rmSync(path, { recursive: true });
    execFileSync('mkfifo', ['-m', '600', path]);
    expect(String(refusal())).toContain('found a named pipe');
  });

  function refusal(ownGroups?: number[]): unknown {
    try {
      readToken(path, ownGroups);
    } catch (error) {
      return error;
    }
    throw new Error('taken');
  }
});

test('a token shows nothing of itself', () => {
  const token = new Token(TOKEN);
  expect([inspect(token, { depth: 9 }), JSON.stringify(token), String(token)].join()).not.toContain('SENTINEL');
});
