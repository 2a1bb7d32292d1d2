/**
 * Backends and ring are switched as one: no answer mixes two states of them, whenever it is made. MILLISECONDS=600000 for a
 * long run.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ABI_HASH, SHARED_HASH } from '../../src/abi.ts';
import { Key } from '../../src/auth/keyring.ts';
import { BpfLab, type LabBackend } from './lab.ts';
import { CAPACITY } from './stress/records.ts';

const MILLISECONDS = Number(process.env['MILLISECONDS'] ?? 3_000);
const SWITCHES_MIN = 20;
const STORED = 'stored';
const secret = randomBytes(32);

/** Everyone is sent to `to`; what each backend's port is says of which state it is. */
const state = (thousand: number, to: number): LabBackend[] =>
  [1, 2, 3].map((id) => ({
    id,
    address: new Uint8Array(16).fill(id),
    port: 1_000 * thousand + id,
    state: id === to ? 'active' : 'draining',
  }));
const STATES = [state(1, 2), state(2, 3)] as const;
const ANSWERS = ['2:1002', '3:2003'] as const;

let lab: BpfLab;
let key: Key;

beforeAll(async () => {
  lab = new BpfLab(CAPACITY);
  lab.settings.maxSkewMs = Number.MAX_SAFE_INTEGER;
  lab.applySettings();
  const fields = { id: 1, name: 'stress', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null };
  key = lab.addKey(new Key({ ...fields, suite: 'hmac-sha256' }, secret));
  lab.addSession(STORED, { backendId: 1, expiresMs: 0 });
  await lab.setBackends(STATES[0]);
});
afterAll(() => lab?.close());

function answerNow(sessionId: string): string {
  const { backendId, port } = lab.reply(lab.run(lab.frame(lab.request(key, sessionId))).frame);
  return `${backendId}:${port}`;
}

/** The next message; fails when the process ends instead. */
function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`the process ended with ${code}`)));
  });
}

test('up to the one store that switches, all is as before', async () => {
  const { settings } = lab.datapath;
  const before: string[] = [];
  const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(settings), 'backendsHalf') as PropertyDescriptor;
  Object.defineProperty(settings, 'backendsHalf', {
    configurable: true,
    get: () => own.get?.call(settings),
    set(half) {
      before.push(answerNow(STORED), answerNow('nobody'));
      own.set?.call(settings, half);
    },
  });
  try {
    await lab.setBackends(STATES[1]);
    expect(before).toEqual([ANSWERS[0], ANSWERS[0]]);
    expect([answerNow(STORED), answerNow('nobody')]).toEqual([ANSWERS[1], ANSWERS[1]]);
  } finally {
    Reflect.deleteProperty(settings, 'backendsHalf');
  }
});

test('in step is said once the backends that were set last are in force', async () => {
  const { settings, table } = lab.datapath;
  settings.inStepMs = 1;
  const [first, second] = STATES.map((backends) =>
    backends.map((one) => ({ ...one, name: `${one.id}`, weight: 1, shed: 0, state: 'active' as const })),
  );
  for (const backends of [first, second, first]) table.setBackends(backends ?? []);
  table.markInStep(2);
  expect(settings.inStepMs).toBe(1);
  await lab.setBackends(STATES[1]);
  expect(settings.inStepMs).toBe(2);
  table.markInStep(3);
  expect(settings.inStepMs).toBe(3);
});

test('answers that are made meanwhile are of one state or the other', { timeout: MILLISECONDS + 60_000 }, async () => {
  const asker = fork(fileURLToPath(new URL('stress/asker.ts', import.meta.url)), [
    `${lab.pins}/maps-${ABI_HASH}-${CAPACITY}`,
    `${lab.pins}/shared-${SHARED_HASH}`,
    secret.toString('hex'),
    STORED,
  ]);
  try {
    expect(await message(asker)).toBe('asking');
    const startMs = performance.now();
    let switches = 0;
    while (switches < SWITCHES_MIN || performance.now() - startMs < MILLISECONDS) {
      await lab.setBackends(STATES[switches++ % STATES.length] as LabBackend[]);
    }
    asker.send('stop');
    const seen = (await message(asker)) as Record<string, number>;
    expect(Object.keys(seen).sort(), JSON.stringify(seen)).toEqual([...ANSWERS]);
  } finally {
    asker.kill('SIGKILL');
  }
});

test('a packet that takes long over one half finds it as it was, however fast switches follow one another', {
  timeout: 120_000,
}, async () => {
  const script = fileURLToPath(new URL('stress/loiterer.ts', import.meta.url));
  const loiterer = fork(script, [`${lab.pins}/maps-${ABI_HASH}-${CAPACITY}`]);
  try {
    expect(await message(loiterer)).toBe('loitering');
    // Each state is told from all others.
    for (let i = 0; i < 2 * SWITCHES_MIN; i++) {
      await lab.setBackends([{ id: 1, address: new Uint8Array(16), port: 1_000 + i }]);
    }
    loiterer.send('stop');
    const { changed, runs } = (await message(loiterer)) as { changed: number; runs: number };
    expect(changed, `of ${runs}`).toBe(0);
    expect(runs).toBeGreaterThan(1);
  } finally {
    loiterer.kill('SIGKILL');
  }
});
