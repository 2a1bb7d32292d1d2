import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyFileError } from '../../src/auth/errors.ts';
import { KEY_FILE_MAX_BYTES, readKeyFile } from '../../src/auth/key-file-access.ts';
import { SECRET, SECRET_HEX, showsSecret } from './support/keys.ts';

const TEXT = `keys:\n  - id: 1\n    secret: "${SECRET_HEX}"\n`;
let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'key-file-'));
  path = join(folder, 'keys.yaml');
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(text: string | Uint8Array, mode = 0o600): void {
  writeFileSync(path, text);
  chmodSync(path, mode);
}

function refused(file = path, ownGroups?: number[]): KeyFileError {
  try {
    readKeyFile(file, ownGroups);
  } catch (error) {
    if (error instanceof KeyFileError) return error;
    throw error;
  }
  throw new Error('taken');
}

describe('readKeyFile', () => {
  it.each([0o600, 0o400, 0o700])('takes a file of mode 0%o, whatever its group', (mode) => {
    write(TEXT, mode);
    expect(readKeyFile(path, []).size).toBe(1);
  });

  it.each([0o640, 0o440, 0o660])('takes mode 0%o where the group is the process’s own', (mode) => {
    write(TEXT, mode);
    expect(readKeyFile(path).size).toBe(1);
    expect(readKeyFile(path, [statSync(path).gid + 1, statSync(path).gid]).size).toBe(1);
  });

  it.each([0o640, 0o620, 0o660])('refuses mode 0%o where the group is another one', (mode) => {
    write(TEXT, mode);
    const { gid } = statSync(path);
    const error = refused(path, [gid + 1, gid + 2]);
    expect(error.code).toBe('KEY_FILE_EXPOSED');
    expect(error.message).toBe(
      `${path}: found mode 0${mode.toString(8)}, group ${gid}, allowed: access for the group only if it is one of ` +
        `this process's (${gid + 1}, ${gid + 2}); run: chmod g= ${path}`,
    );
  });

  it.each([0o604, 0o602, 0o644, 0o666, 0o601])('refuses mode 0%o, which gives others access', (mode) => {
    write(TEXT, mode);
    const error = refused();
    expect(error.code).toBe('KEY_FILE_EXPOSED');
    expect(error.message).toContain(`found mode 0${mode.toString(8)}`);
    expect(error.message).toContain(`run: chmod o= ${path}`);
    expect(refused(path, []).message).toContain(`run: chmod go= ${path}`);
  });

  it('takes the file after the command that it names', () => {
    write(TEXT, 0o644);
    const command = /run: (chmod \S+) /.exec(refused().message)?.[1]?.split(' ') as [string, string];
    execFileSync(command[0], [command[1], path]);
    expect(readKeyFile(path).size).toBe(1);
  });

  it('judges what a symbolic link leads to', () => {
    write(TEXT, 0o600);
    const link = join(folder, 'link.yaml');
    symlinkSync(path, link);
    expect(readKeyFile(link).size).toBe(1);
    chmodSync(path, 0o644);
    expect(refused(link).code).toBe('KEY_FILE_EXPOSED');
  });

  it('refuses a directory and a device', () => {
    mkdirSync(path);
    expect(refused().message).toBe(`${path}: found a directory, allowed: a regular file`);
    expect(refused('/dev/null').message).toBe('/dev/null: found a device, allowed: a regular file');
    expect(refused('/dev/null').code).toBe('KEY_FILE_NOT_REGULAR');
  });

  // In a process of its own: an open that waits can't be interrupted from within.
  it('refuses a named pipe without waiting for its writer', () => {
    execFileSync('mkfifo', ['-m', '600', path]);
    const module = new URL('../../src/auth/key-file-access.ts', import.meta.url).href;
    const script = `import { readKeyFile } from ${JSON.stringify(module)};
      try { readKeyFile(process.argv[1]); } catch (error) { process.stdout.write(error.code + ' ' + error.message); }`;
    const args = ['--input-type=module', '--eval', script, path];
    expect(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 })).toBe(
      `KEY_FILE_NOT_REGULAR ${path}: found a named pipe, allowed: a regular file`,
    );
  });

  it('refuses a socket', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      expect(refused().code).toBe('KEY_FILE_UNREADABLE');
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('refuses a file that is not there, and keeps the cause', () => {
    const error = refused();
    expect(error.code).toBe('KEY_FILE_UNREADABLE');
    expect(error.message).toContain(`${path}: can't be read: ENOENT`);
    expect(error.cause).toMatchObject({ code: 'ENOENT' });
  });

  it('takes a file of the greatest length, and not one byte more', () => {
    write(TEXT.padEnd(KEY_FILE_MAX_BYTES - 1, ' ').concat('\n'));
    expect(readKeyFile(path).size).toBe(1);
    write(TEXT.padEnd(KEY_FILE_MAX_BYTES, ' ').concat('\n'));
    const error = refused();
    expect(error.code).toBe('KEY_FILE_TOO_LARGE');
    expect(error.message).toBe(`${path}: found more than 262144 bytes, allowed: at most 262144`);
  });

  it('refuses what is not UTF-8', () => {
    write(Uint8Array.of(...new TextEncoder().encode(TEXT), 0xff));
    const error = refused();
    expect(error.code).toBe('KEY_FILE_SYNTAX');
    expect(showsSecret(inspect(error, { depth: null, showHidden: true }), SECRET)).toBe(false);
  });

  it('names the file in the problems of its content', () => {
    write('keys: []');
    expect(refused().message).toBe(`${path}:1: keys: found a list of 0, allowed: a list of 1 to 256 keys`);
  });
});

/**
 * What systemd makes of LoadCredential= since its version 254 (and Linux 6.3): on a tmpfs, root's, mode 0400, and an access control list by
 * which one user more may read. Python has setxattr(2), which writes the list (linux/posix_acl_xattr.h).
 */
const HAND_OVER = `
import os, struct, sys
path, uid = sys.argv[1], int(sys.argv[2])
none = 0xffffffff
entries = [(0x01, 4, none), (0x02, 4, uid), (0x04, 0, none), (0x10, 4, none), (0x20, 0, none)]
acl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)
os.setxattr(path, 'system.posix_acl_access', acl)
`;
const SERVICE = 65534;

describe('readKeyFile, of what systemd hands over', () => {
  let credentials: string;
  let credential: string;
  const keysIn = (file: string, handed: string | undefined = credentials): number =>
    readKeyFile(file, [SERVICE], handed).size;
  const code = (file: string, handed?: string): string => {
    try {
      return `taken, ${keysIn(file, handed)}`;
    } catch (error) {
      return (error as KeyFileError).code;
    }
  };

  beforeEach(() => {
    credentials = mkdtempSync('/dev/shm/credentials-');
    credential = join(credentials, 'keys.yaml');
    writeFileSync(credential, TEXT);
    chmodSync(credential, 0o400);
    chownSync(credential, 0, 0);
    execFileSync('/usr/bin/python3', ['-c', HAND_OVER, credential, String(SERVICE)]);
  });
  afterEach(() => rmSync(credentials, { recursive: true }));

  it('takes it, whose access control list shows as access of group 0', () => {
    expect(statSync(credential)).toMatchObject({ mode: 0o100440, uid: 0, gid: 0 });
    expect(keysIn(credential)).toBe(1);
    expect(keysIn(credential, `${credentials}/`)).toBe(1);
  });

  it('takes it as the service’s user, by the variable that systemd sets', () => {
    chmodSync(credentials, 0o755);
    const module = new URL('../../src/auth/key-file-access.ts', import.meta.url).href;
    const script = `import { readKeyFile } from ${JSON.stringify(module)};
      process.setgroups([]); process.setgid(${SERVICE}); process.setuid(${SERVICE});
      try { console.log(readKeyFile(process.argv[1]).size); } catch (error) { console.log(error.code); }`;
    const ask = (env: Record<string, string>): string =>
      execFileSync(process.execPath, ['--input-type=module', '--eval', script, credential], { encoding: 'utf8', env });
    expect(ask({ CREDENTIALS_DIRECTORY: credentials })).toBe('1\n');
    expect(ask({})).toBe('KEY_FILE_EXPOSED\n');
  });

  it('refuses the same elsewhere: in another folder, in one below, behind a link', () => {
    expect(code(credential, folder)).toBe('KEY_FILE_EXPOSED');
    const below = join(credentials, 'below');
    mkdirSync(below);
    writeFileSync(join(below, 'keys.yaml'), TEXT);
    chmodSync(join(below, 'keys.yaml'), 0o440);
    expect(code(join(below, 'keys.yaml'))).toBe('KEY_FILE_EXPOSED');
    symlinkSync(join(below, 'keys.yaml'), join(credentials, 'link.yaml'));
    expect(code(join(credentials, 'link.yaml'))).toBe('KEY_FILE_EXPOSED');
  });

  it.each([0o460, 0o444, 0o441])('refuses mode 0%o', (mode) => {
    chmodSync(credential, mode);
    expect(code(credential)).toBe('KEY_FILE_EXPOSED');
  });

  it.each([
    [SERVICE - 1, 0],
    [0, SERVICE - 1],
  ])('refuses one of user %d and group %d', (uid, gid) => {
    chownSync(credential, uid, gid);
    expect(code(credential)).toBe('KEY_FILE_EXPOSED');
  });
});
