/** The lock on the pins: never two at a time, also when the directory comes and goes. */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const TAKER = fileURLToPath(new URL('pins-taker.ts', import.meta.url));

test('a start that overlaps a removal ends with one owner', async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'pins-'));
  const pins = `/sys/fs/bpf/sgwlock-${process.pid}`;
  try {
    const args = [TAKER, pins, join(folder, 'mark'), '3000'];
    const takers = Array.from({ length: 3 }, () => promisify(execFile)(process.execPath, args, { timeout: 60_000 }));
    for (const { stdout } of await Promise.all(takers)) {
      const { had, shared } = JSON.parse(stdout) as { had: number; shared: number };
      expect(had).toBeGreaterThan(0);
      expect(shared).toBe(0);
    }
  } finally {
    fs.rmSync(pins, { recursive: true, force: true });
    fs.rmSync(folder, { recursive: true, force: true });
  }
});
