/** The program is loaded while signals come without an end, as a profiler's do: the kernel gives a load up (EAGAIN) where one waits. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const path = (from: string): string => fileURLToPath(new URL(from, import.meta.url));
const SCRIPT = `
const { BpfObject } = await import(${JSON.stringify(path('../../../src/gateway/kernel/libbpf.ts'))});
const object = new BpfObject(${JSON.stringify(path('../../../build/gateway.bpf.o'))});
object.setMaxEntries('sessions', 100);
object.load('gateway');
console.log(object.programFd('gateway') > 0);
object.close();
`;

test('the program is loaded while a signal comes every tenth of a millisecond', async () => {
  const profiles = mkdtempSync(join(tmpdir(), 'sgw-signals-'));
  try {
    const profiler = ['--cpu-prof', '--cpu-prof-interval=100', `--cpu-prof-dir=${profiles}`];
    const { stdout } = await promisify(execFile)(process.execPath, [...profiler, '--input-type=module', '-e', SCRIPT]);
    expect(stdout).toBe('true\n');
  } finally {
    rmSync(profiles, { recursive: true });
  }
});
