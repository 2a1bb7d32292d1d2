import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { backends, benchKey, missHash, sessionHash, sessionHex } from '../../../bench/traffic/world.ts';
import { readTables, type State, writeState } from '../../../bench/userspace/state.ts';
import { encodeBatchRequest, encodeLookupRequest } from '../../../src/auth/request.ts';
import { respond } from '../../../src/auth/respond.ts';

const BENCH = fileURLToPath(new URL('../../../bench', import.meta.url));
const SERVER = fileURLToPath(new URL('../../../build/bench-server', import.meta.url));
const CLIENT = fileURLToPath(new URL('../../../build/bench-client', import.meta.url));
const NOW_MS = 1_790_000_000_123;
const SESSIONS = 500;
const BACKENDS = 12;

const keys = [
  benchKey(1),
  benchKey(2, 'blake2s'),
  benchKey(3, 'hmac-sha256', true),
  benchKey(0xffff_ffff, 'blake2s', true),
];
const stranger = benchKey(9);
const state: State = {
  settings: { maxSkewMs: 30_000, skewBudget: 1_000_000, staleAfterMs: 10_000, inStepMs: NOW_MS - 4_321 },
  keys,
  backends: backends(BACKENDS).map((backend, i) => ({
    ...backend,
    state: i === 3 ? ('down' as const) : i === 4 ? ('draining' as const) : ('active' as const),
    shed: i === 5 ? 4_000 : i === 6 ? 10_000 : 0,
  })),
  sessionCount: SESSIONS,
  session: (i) => ({
    hash: sessionHex(i),
    version: BigInt(i) << 40n,
    expiresMs: i % 5 === 0 ? 0 : NOW_MS - 3_000 + 1_001 * (i % 7),
    backendId: i % (BACKENDS + 2), // none, and one that is not known, among them
  }),
};
let folder = '';

beforeAll(() => {
  execFileSync('make', ['--silent', '-C', BENCH, 'native']);
  folder = mkdtempSync(join(tmpdir(), 'bench-server-'));
  writeState(join(folder, 'state'), state);
});
afterAll(() => rmSync(folder, { recursive: true }));

const hash = fc.oneof(fc.nat(SESSIONS - 1).map(sessionHash), fc.nat(SESSIONS).map(missHash));
const nonce = fc.uint8Array({ minLength: 8, maxLength: 8 });
const timeMs = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: NOW_MS - 30_010, max: NOW_MS + 30_010 }) }, fc.nat());
const authentic = fc
  .tuple(
    fc.constantFrom(...keys, stranger),
    fc.array(hash, { minLength: 1, maxLength: 64 }),
    timeMs,
    nonce,
    fc.boolean(),
  )
  .map(([{ key }, hashes, time, random, batch]) =>
    batch
      ? encodeBatchRequest(key, hashes, time, random).bytes
      : encodeLookupRequest(key, hashes[0] as Uint8Array, time, random).bytes,
  );
const flipped = fc.tuple(authentic, fc.nat(), fc.nat(7)).map(([bytes, at, bit]) => {
  const copy = Uint8Array.from(bytes);
  copy[at % copy.length] = (copy[at % copy.length] as number) ^ (1 << bit);
  return copy;
});
const cut = fc.tuple(authentic, fc.nat()).map(([bytes, length]) => bytes.subarray(0, length % (bytes.length + 1)));
const datagram = fc.oneof({ weight: 6, arbitrary: authentic }, flipped, cut, fc.uint8Array({ maxLength: 100 }));

/** What the program answers to these at `NOW_MS`; nothing is an empty array. */
function answersOf(datagrams: readonly Uint8Array[]): Uint8Array[] {
  const parts = datagrams.flatMap((bytes) => [Buffer.from(Uint32Array.of(bytes.length).buffer), bytes]);
  const out = execFileSync(SERVER, [join(folder, 'state'), 'answer', String(NOW_MS)], { input: Buffer.concat(parts) });
  const answers: Uint8Array[] = [];
  for (let at = 0; at < out.length; ) {
    const length = out.readUInt32LE(at);
    answers.push(Uint8Array.from(out.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return answers;
}

test('the server in user space gives the answers of the model, to the byte', () => {
  const tables = readTables(join(folder, 'state'));
  const source = new Uint8Array(16);
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(datagram, { minLength: 200, maxLength: 200 }), (datagrams) => {
      const expected = datagrams.map((bytes) => {
        const { reply = new Uint8Array(0) } = respond(bytes, source, tables, NOW_MS);
        seen.add(
          `${reply.length > 80 ? 'batch' : reply.length} ${reply[3] ?? 0} ${reply[24] ?? ''} ${reply[25] ?? ''}`,
        );
        return reply;
      });
      expect(answersOf(datagrams)).toEqual(expected);
    }),
    { numRuns: 10, seed: 5 },
  );
  // nothing; found, moved, placed, wrong clock; batches and what is encrypted
  for (const shape of ['0 0  ', '80 129 0 0', '80 129 0 1', '80 129 1 2', '80 129 2 0']) expect(seen).toContain(shape);
  expect([...seen].filter((shape) => shape.startsWith('batch 130')).length).toBeGreaterThan(0);
  expect([...seen].filter((shape) => / (193|194) /.test(shape)).length).toBeGreaterThan(1);
});

test('the client in C takes right answers from the server, and notices wrong ones', async () => {
  const port = 33_465;
  const live = join(folder, 'live');
  const held = 200;
  writeState(live, {
    ...state,
    settings: { ...state.settings, inStepMs: Date.now() },
    backends: backends(BACKENDS),
    sessionCount: held,
    session: (i) => ({ hash: sessionHex(i), version: 1n, expiresMs: 0, backendId: 1 + (i % BACKENDS) }),
    keys: keys.slice(0, 1),
  });
  const server = spawn(SERVER, [live, 'serve', '127.0.0.1', String(port), '1', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(server.stdout, 'data');
    const ask = (sessions: number, rate: number): Record<string, number> => {
      const args = ['gateway', '127.0.0.1', port, 1, 1, rate, 300, availableParallelism() - 1, sessions, live].map(
        String,
      );
      return JSON.parse(execFileSync(CLIENT, args, { encoding: 'utf8' }));
    };
    const right = ask(held, 0);
    expect(right).toMatchObject({ wrong: 0 });
    expect(right['answered']).toBeGreaterThan(0);
    const { p50Ns = 0, p99Ns = 0, p999Ns = 0 } = right;
    expect([p50Ns, p99Ns, p999Ns]).toEqual([p50Ns, p99Ns, p999Ns].toSorted((a, b) => a - b));
    expect(p50Ns).toBeGreaterThan(100);
    // half of these are not held
    const half = ask(2 * held, 0);
    expect(half['wrong']).toBeGreaterThan(0);
    expect(half['wrong']).toBeLessThan(half['answered'] as number);
    // no more than were due
    expect(ask(held, 100)['answered']).toBeLessThanOrEqual(30);
  } finally {
    server.kill();
    await once(server, 'exit');
  }
});
