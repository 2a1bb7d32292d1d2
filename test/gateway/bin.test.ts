/** bin/gateway: how it finds itself and a Node.js. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VERSION } from '../../src/gateway/version.ts';
import { GATEWAY, gateway } from './support/command.ts';

const SYSTEM_PATH = '/usr/bin:/bin';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bin-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function script(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

/** A package without a Node.js of its own, whose Node.js on the path only says that it was started. */
function fakePackage(version: string | null): { executable: string; env: Record<string, string> } {
  const executable = join(folder, 'package', 'bin', 'gateway');
  mkdirSync(dirname(executable), { recursive: true });
  copyFileSync(GATEWAY, executable);
  // All that the script itself calls.
  const path = join(folder, 'path');
  mkdirSync(path);
  for (const name of ['sh', 'readlink', 'dirname']) symlinkSync(`/usr/bin/${name}`, join(path, name));
  if (version !== null) {
    // It takes Node.js's own options as Node.js does.
    const options = 'while case $1 in --*) ;; *) false ;; esac; do shift; done';
    script(join(path, 'node'), `[ "$1" = --version ] && { ${version}; exit; }\n${options}\necho started "$@"`);
  }
  return { executable, env: { PATH: path } };
}

describe('finds itself', () => {
  test('from any folder', async () => {
    expect(await gateway(['--version'], { cwd: folder })).toEqual({ status: 0, stdout: `${VERSION}\n`, stderr: '' });
  });

  test('through symbolic links, relative and absolute, with spaces in them', async () => {
    const first = join(folder, 'a b', 'first');
    mkdirSync(dirname(first));
    symlinkSync(GATEWAY, first);
    symlinkSync('a b/first', join(folder, 'second'));
    expect(await gateway(['--version'], { executable: join(folder, 'second') })).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await gateway(['--version'], { executable: './second', cwd: folder })).toMatchObject({ status: 0 });
    expect(await gateway(['second', '--version'], { executable: 'sh', cwd: folder })).toMatchObject({ status: 0 });
  });

  test('whatever CDPATH says', async () => {
    const env = { PATH: SYSTEM_PATH, CDPATH: '/usr' };
    expect(await gateway(['--version'], { env })).toMatchObject({ status: 0, stdout: `${VERSION}\n` });
  });
});

describe('finds a Node.js', () => {
  test.each(['v22.18.0', 'v22.19.1', 'v23.0.0', 'v24.15.0', 'v100.0.0', 'v24.0.0-nightly2026'])(
    '%s will do',
    async (version) => {
      const { executable, env } = fakePackage(`echo ${version}`);
      const result = await gateway(['a b', 'c'], { executable, env });
      expect(result).toMatchObject({ status: 0, stderr: '' });
      expect(result.stdout).toBe(`started ${join(folder, 'package', 'src', 'gateway', 'main.ts')} a b c\n`);
    },
  );

  test.each([
    ['echo v22.17.9', 'Node.js v22.17.9'],
    ['echo v20.20.2', 'Node.js v20.20.2'],
    ['echo v9.99.0', 'Node.js v9.99.0'],
    ['echo nonsense', 'Node.js nonsense'],
    ['exit 1', 'Node.js that does not start'],
    [null, 'no Node.js'],
  ])('%s will not', async (version, found) => {
    const { executable, env } = fakePackage(version);
    const result = await gateway(['status'], { executable, env });
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toContain(`gateway: found ${found}`);
    expect(result.stderr).toContain('needed is Node.js 22.18 or newer');
    expect(result.stderr).toMatch(/: install one\n$/);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);

    const ready = join(folder, 'package', 'scripts', 'ready');
    script(ready, '');
    expect((await gateway(['status'], { executable, env })).stderr).toContain(`: install one, or run ${ready}\n`);
  });

  test('what set-up or the Debian package has put beside it goes first, unasked', async () => {
    const { executable, env } = fakePackage('echo v99.0.0');
    script(join(folder, 'package', '.tools', 'node_modules', '.bin', 'node'), 'echo beside "$@"');
    expect((await gateway([], { executable, env })).stdout).toMatch(/^beside .*main\.ts\n$/);
    script(join(folder, 'package', '.tools', 'node'), 'echo ready "$@"');
    expect((await gateway([], { executable, env })).stdout).toMatch(/^ready /);
    script(join(folder, 'package', 'runtime', 'node'), 'echo packaged "$@"');
    expect((await gateway([], { executable, env })).stdout).toMatch(/^packaged /);
  });

  test('a published package runs what its sources were compiled to', async () => {
    const { executable, env } = fakePackage('echo v22.18.0');
    const compiled = join(folder, 'package', 'dist', 'gateway', 'main.js');
    mkdirSync(dirname(compiled), { recursive: true });
    writeFileSync(compiled, '');
    expect((await gateway([], { executable, env })).stdout).toBe(`started ${compiled}\n`);
  });
});
