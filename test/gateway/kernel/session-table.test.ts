/** The session table in the kernel: order, generations, the count, a full map, the sweeper, and what outlives a daemon. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Limit } from '../../../src/abi.ts';
import { Datapath, detachAll } from '../../../src/gateway/kernel/datapath.ts';
import { MemoryTable } from '../../sync/memory-table.ts';

const pins = `/sys/fs/bpf/session-gateway-table-test-${process.pid}`;
const hashOf = (n: number): string => Buffer.alloc(16, n).toString('hex');
let datapath: Datapath;

function open(capacity = 1000): Datapath {
  return new Datapath({
    pins,
    capacity,
    object: fileURLToPath(new URL('../../../build/gateway.bpf.o', import.meta.url)),
    attach: 'auto',
    events: { generic() {}, attached() {}, kept() {}, putAside() {} },
  });
}

beforeEach(() => {
  datapath = open();
});
afterEach(() => {
  datapath.close();
  detachAll(pins);
});

/** Walks the whole map. */
function sweep(nowMs: number): void {
  for (let steps = 0; !datapath.sweeper.step(nowMs); steps++)
    if (steps > 1000) throw new Error('the walk does not end');
}

const held = (n: number): ReturnType<Datapath['table']['find']> => datapath.table.find(Buffer.alloc(16, n));

describe('changes', () => {
  test('are made in order, and counted', () => {
    const { table } = datapath;
    table.put(hashOf(1), { ms: 10, seq: 0 }, 0, 1);
    table.put(hashOf(2), { ms: 10, seq: 1 }, 0, 1);
    table.put(hashOf(1), { ms: 10, seq: 2 }, 0, 2);
    table.remove(hashOf(2), { ms: 10, seq: 3 });
    table.remove(hashOf(3), { ms: 10, seq: 4 });
    expect(held(1)).toBeUndefined();
    expect(table.flush()).toEqual({ inserted: 2, replaced: 1, removed: 1, skipped: 1, refused: 0 });
    expect(table.entries).toBe(1);
    expect(held(1)).toMatchObject({ backendId: 2, version: 10n * 2n ** 20n + 2n });
    expect(table.flush()).toEqual({ inserted: 0, replaced: 0, removed: 0, skipped: 0, refused: 0 });
  });

  test('older than what is held are skipped, in one generation', () => {
    const { table } = datapath;
    table.put(hashOf(1), { ms: 10, seq: 5 }, 0, 1);
    table.put(hashOf(1), { ms: 10, seq: 4 }, 0, 2);
    table.remove(hashOf(1), { ms: 9, seq: 9 });
    expect(table.flush()).toMatchObject({ inserted: 1, skipped: 2 });
    expect(held(1)?.backendId).toBe(1);
    table.beginGeneration();
    table.put(hashOf(1), { ms: 1, seq: 0 }, 0, 3);
    expect(table.flush()).toMatchObject({ replaced: 1 });
    expect(held(1)?.backendId).toBe(3);
  });

  test('numbers keep all their bits', () => {
    const { table } = datapath;
    table.put(hashOf(1), { ms: 2 ** 43 + 4095, seq: 2 ** 20 - 1 }, Number.MAX_SAFE_INTEGER, 65_535);
    table.flush();
    expect(held(1)).toMatchObject({
      version: (2n ** 43n + 4095n) * 2n ** 20n + 2n ** 20n - 1n,
      expiresMs: BigInt(Number.MAX_SAFE_INTEGER),
      backendId: 65_535,
    });
  });

  test('more than fit one run are made all the same', () => {
    const { table } = datapath;
    const many = Limit.CHANGES * 2 + 10;
    for (let i = 0; i < many; i++) table.put(hashOf(i % 100), { ms: 1, seq: i }, 0, 1);
    expect(table.flush()).toEqual({ inserted: 100, replaced: many - 100, removed: 0, skipped: 0, refused: 0 });
  });

  test('equal the table in memory, for any changes', () => {
    const change = fc.record({
      op: fc.constantFrom('put', 'put', 'put', 'remove', 'begin', 'commit', 'flush'),
      n: fc.integer({ min: 0, max: 5 }),
      ms: fc.integer({ min: 1, max: 6 }),
      backend: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const { table } = datapath;
        for (let n = 0; n <= 5; n++) table.remove(hashOf(n), { ms: 2 ** 43, seq: 0 });
        table.flush();
        const memory = new MemoryTable();
        for (const { op, n, ms, backend } of [{ op: 'begin', n: 0, ms: 0, backend: 0 }, ...changes]) {
          for (const each of [table, memory]) {
            if (op === 'put') each.put(hashOf(n), { ms, seq: 0 }, 0, backend);
            else if (op === 'remove') each.remove(hashOf(n), { ms, seq: 0 });
            else if (op === 'begin') each.beginGeneration();
            else if (op === 'commit') each.commitGeneration();
          }
          if (op === 'flush') expect(table.flush()).toEqual(memory.flush());
        }
        table.commitGeneration();
        memory.commitGeneration();
        table.flush();
        memory.flush();
        const { generation } = datapath.settings;
        for (let n = 0; n <= 5; n++) {
          const session = held(n);
          const live = session !== undefined && session.generation >= generation ? session.backendId : undefined;
          expect(live, `session ${n}`).toBe(memory.lookup(hashOf(n))?.backendId);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('a full map refuses the newest, counts it, and uses room that expiry makes', () => {
  const { table } = datapath;
  for (let i = 0; i < 1010; i++) {
    table.put(randomBytes(16).toString('hex'), { ms: 1, seq: i }, i < 500 ? 1_000 : 0, 1);
  }
  expect(table.flush()).toMatchObject({ inserted: 1000, refused: 10 });
  expect(table.refused).toBe(10);
  sweep(2_000);
  expect(table.entries).toBe(500);
  for (let i = 0; i < 500; i++) table.put(randomBytes(16).toString('hex'), { ms: 2, seq: i }, 0, 1);
  expect(table.flush()).toMatchObject({ inserted: 500, refused: 0 });
});

describe('the sweeper', () => {
  test('takes what has expired and what is of an older generation, nothing else', () => {
    const { table } = datapath;
    table.put(hashOf(1), { ms: 1, seq: 0 }, 0, 1);
    table.beginGeneration();
    table.put(hashOf(2), { ms: 1, seq: 0 }, 5_000, 1);
    table.put(hashOf(3), { ms: 1, seq: 0 }, 5_001, 1);
    table.put(hashOf(4), { ms: 1, seq: 0 }, 0, 0);
    table.flush();
    sweep(0);
    expect(table.entries).toBe(4);
    table.commitGeneration();
    sweep(5_000);
    expect([1, 2, 3, 4].map((n) => held(n) !== undefined)).toEqual([false, false, true, true]);
    expect(table.entries).toBe(2);
  });

  test('tells when the clock has gone back, since what it took meanwhile may not have expired', async () => {
    const { table, sweeper } = datapath;
    let nowMs = 1_000;
    let wentBack = 0;
    table.put(hashOf(1), { ms: 1, seq: 0 }, 5_000, 1);
    table.flush();
    sweeper.start(
      () => nowMs,
      () => {
        wentBack += 1;
      },
    );
    await vi.waitFor(() => expect(sweeper.counts.walks).toBeGreaterThan(0));
    expect([table.entries, wentBack]).toEqual([1, 0]);
    nowMs = 7_200_000;
    await vi.waitFor(() => expect(table.entries).toBe(0), { timeout: 60_000 });
    expect(wentBack).toBe(0);
    nowMs = 2_000;
    await vi.waitFor(() => expect(wentBack).toBe(1), { timeout: 60_000 });
    sweeper.stop();
  });
});

test('what a daemon left half-way does not come to life under the next one', () => {
  datapath.table.beginGeneration();
  datapath.table.put(hashOf(1), { ms: 1, seq: 0 }, 0, 1);
  datapath.table.commitGeneration();
  datapath.table.beginGeneration();
  datapath.table.put(hashOf(2), { ms: 2, seq: 0 }, 0, 1);
  datapath.table.flush();
  datapath.close(); // dies in the middle of a resync

  datapath = open();
  expect(datapath.adopted).toBe(true);
  expect(datapath.table.entries).toBe(2);
  datapath.table.beginGeneration();
  datapath.table.put(hashOf(1), { ms: 3, seq: 0 }, 0, 1);
  datapath.table.commitGeneration();
  const { generation } = datapath.settings;
  expect(held(1)?.generation).toBe(generation);
  expect(held(2)?.generation).toBeLessThan(generation);
});

test('another capacity begins anew, but what each key id stood for stays', () => {
  datapath.rememberKey(7, new Uint8Array(16).fill(7));
  datapath.close();
  datapath = open(2000);
  expect(datapath.adopted).toBe(false);
  expect(datapath.table.entries).toBe(0);
  expect(datapath.keyFingerprint(7)).toEqual(new Uint8Array(16).fill(7));
});

test('pins that are in use are refused, with the process that uses them', () => {
  expect(() => open()).toThrow(new RegExp(`process ${process.pid}`));
});
