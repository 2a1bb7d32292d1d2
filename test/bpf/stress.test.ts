/**
 * No answer is made from a record that changes under the reader, and none fails to be made: the fastest writer, against
 * readers on another CPU and in interrupts of the writer's own. MILLISECONDS=600000 for a long run.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ABI_HASH, Limit, SHARED_HASH } from '../../src/abi.ts';
import { Key } from '../../src/auth/keyring.ts';
import { BpfLab } from './lab.ts';
import { CAPACITY } from './stress/records.ts';
import type { Seen } from './stress/table.ts';

const MILLISECONDS = Number(process.env['MILLISECONDS'] ?? 5_000);
const secret = randomBytes(32);
let lab: BpfLab;

beforeAll(async () => {
  lab = new BpfLab(CAPACITY);
  lab.settings.maxSkewMs = Number.MAX_SAFE_INTEGER;
  lab.applySettings();
  const fields = { id: 1, name: 'stress', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null };
  lab.addKey(new Key({ ...fields, suite: 'hmac-sha256' }, secret));
  const ids = Array.from({ length: Limit.BACKENDS - 1 }, (_, i) => i + 1);
  await lab.setBackends(ids.map((id) => ({ id, address: new Uint8Array(16).fill(1), port: 80 })));
});
afterAll(() => lab.close());

/** Starts a part on a CPU of its own, where there are two. */
function start(part: string, cpu: number, ...args: string[]): ChildProcess {
  const script = fileURLToPath(new URL(`stress/${part}.ts`, import.meta.url));
  if (availableParallelism() < 2) return fork(script, args);
  return fork(script, args, { execPath: 'taskset', execArgv: ['-c', String(cpu), process.execPath] });
}

/** The next message; fails when the process ends instead. */
function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`the process ended with ${code}`)));
  });
}

test('every answer is one that was written, and none is missing', { timeout: MILLISECONDS + 60_000 }, async () => {
  const own = `${lab.pins}/maps-${ABI_HASH}-${CAPACITY}`;
  const before = lab.datapath.verdictCounts();
  const writer = start('writer', 0, own);
  let reader: ChildProcess | undefined;
  try {
    expect(await message(writer)).toBe('writing');
    reader = start('reader', 1, own, `${lab.pins}/shared-${SHARED_HASH}`, secret.toString('hex'));
    expect(await message(reader)).toBe('reading');
    await sleep(MILLISECONDS); // the run itself
    reader.send('stop');
    const { kernel, replies } = (await message(reader)) as {
      kernel: Seen;
      replies: { right: number; silent: number; wrong: string[] };
    };
    writer.send('stop');
    const { totals, interrupts } = (await message(writer)) as { totals: Record<string, number>; interrupts: Seen };
    console.log({ totals, kernel, interrupts, replies });
    const flawless = { missed: 0, busy: 0, wrong: 0, backward: 0 };
    expect({ ...kernel, found: 0 }).toEqual({ ...flawless, found: 0 });
    expect({ ...interrupts, found: 0 }).toEqual({ ...flawless, found: 0 });
    expect(replies).toMatchObject({ silent: 0, wrong: [] });
    const after = lab.datapath.verdictCounts();
    expect(after.DROP_BUSY - before.DROP_BUSY).toBe(0);
    expect(after.REPLY_FOUND - before.REPLY_FOUND).toBe(replies.right);

    // All of it took place.
    expect(totals).toMatchObject({ refused: 0 });
    for (const count of [totals['replaced'], totals['inserted'], totals['deleted'], kernel.found, interrupts.found])
      expect(count).toBeGreaterThan(1_000);
    expect(replies.right).toBeGreaterThan(1_000);
  } finally {
    reader?.kill('SIGKILL');
    writer.kill('SIGKILL');
  }
});
