/** How benchmarks, and the checkout's other programs, take their options. */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../../packaging/package-folder.ts';

interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

function bench(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(ROOT, 'bench/main.ts'), ...args], (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test.concurrent('--help names the benchmarks', async () => {
  const { status, stdout, stderr } = await bench('--help');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^usage: npm run bench /);
  expect(stdout).toContain('balance, compare, drain,');
});

test.concurrent('--help of one shows its options, what they are unless told, and itself', async () => {
  const { status, stdout, stderr } = await bench('balance', '--help');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^usage: npm run bench -- balance \[--seed S\] .* \[--help\]\n/);
  expect(stdout).toMatch(/^ {2}--users N {7}users, 300000 unless told$/m);
  expect(stdout).toMatch(/^ {2}--plots FOLDER {2}write SVG there$/m);
});

test.concurrent.each([
  [['--nonsense'], "Unknown option '--nonsense': --help shows what is allowed\n"],
  [['--seed'], "Option '--seed <value>' argument missing: --help shows what is allowed\n"],
  [['--seed=1', 'more'], "Unexpected argument 'more': --help shows what is allowed\n"],
  [['--users', 'many'], '--users: found "many", allowed: a whole number from 1000 to 5000000\n'],
  [['--users', ''], '--users: found "", allowed: a whole number from 1000 to 5000000\n'],
])('wrong usage is one line: %j', async (args, stderr) => {
  expect(await bench('balance', ...args)).toEqual({ status: 2, stdout: '', stderr });
});

test('every program takes them so', () => {
  const sources = fs.globSync('{bench,packaging,scripts,test}/**/*.ts', { cwd: ROOT });
  const own = sources.filter((file) => /\bparseArgs\(\{/.test(fs.readFileSync(join(ROOT, file), 'utf8')));
  // The chaos test's usage also names its faults.
  expect(own.sort()).toEqual(['scripts/program-options.ts', 'test/chaos/main.ts']);
});
