/** The session table in the kernel: order, generations, the count, a full map, the sweeper, and what outlives a daemon. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { deniedLayout, Limit, SessionFlag, writeDenied } from '../../../src/abi.ts';
import { Datapath, detachAll } from '../../../src/gateway/kernel/datapath.ts';
import { noChanges, type SessionTable } from '../../../src/sync/table.ts';
import { MemoryTable } from '../../sync/memory-table.ts';

const pins = `/sys/fs/bpf/session-gateway-table-test-${process.pid}`;
const hashOf = (n: number): string => Buffer.alloc(16, n).toString('hex');
/** Revocations for good end here. */
const FOREVER_MS = 253_402_300_799_999;
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
    expect(table.flush()).toEqual({ ...noChanges(), inserted: 2, replaced: 1, removed: 1, skipped: 1 });
    expect(table.entries).toBe(1);
    expect(held(1)).toMatchObject({ backendId: 2, version: 10n * 2n ** 20n + 2n });
    expect(table.flush()).toEqual(noChanges());
  });

  test('that can not be written are not made, nor is another in their place', () => {
    const { table } = datapath;
    table.put(hashOf(1), { ms: 10, seq: 0 }, 0, 1);
    expect(() => table.put(hashOf(2), { ms: -1, seq: 0 }, 0, 1)).toThrow(RangeError);
    expect(() => table.put(hashOf(2), { ms: 10, seq: 0 }, -6, 1)).toThrow(RangeError);
    expect(() => table.remove(hashOf(1), { ms: -1, seq: 0 })).toThrow(RangeError);
    expect(() => table.deny(hashOf(3), -1)).toThrow(RangeError);
    table.put(hashOf(4), { ms: 10, seq: 0 }, 0, 2);
    expect(table.flush()).toEqual({ ...noChanges(), inserted: 2 });
    expect([1, 2, 3, 4].map((n) => held(n)?.backendId)).toEqual([1, undefined, undefined, 2]);
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
    expect(table.flush()).toEqual({ ...noChanges(), inserted: 100, replaced: many - 100 });
  });

  test('equal the table in memory, for any changes', () => {
    const op = fc.constantFrom(
      ...(['put', 'put', 'put', 'remove', 'begin', 'commit', 'flush', 'deny', 'deny', 'allow'] as const),
      ...(['beginDenied', 'endDenied', 'putFact', 'putFact', 'removeFact', 'beginFacts', 'endFacts'] as const),
    );
    const change = fc.record({
      op,
      n: fc.integer({ min: 0, max: 5 }),
      ms: fc.integer({ min: 1, max: 6 }),
      backend: fc.integer({ min: 0, max: 3 }),
    });
    const make = (
      table: SessionTable,
      { op, n, ms, backend }: typeof change extends fc.Arbitrary<infer C> ? C : never,
    ) => {
      const version = { ms, seq: 0 };
      if (op === 'put') table.put(hashOf(n), version, 0, backend);
      else if (op === 'remove') table.remove(hashOf(n), version);
      else if (op === 'begin') table.beginGeneration();
      else if (op === 'commit') table.commitGeneration();
      else if (op === 'deny') table.deny(hashOf(n), FOREVER_MS - ms);
      else if (op === 'allow') table.deny(hashOf(n), 0);
      else if (op === 'putFact') table.putFact(hashOf(n), Buffer.alloc(4 * ms, backend), version);
      else if (op === 'removeFact') table.removeFact(hashOf(n));
      else if (op !== 'flush') table[op]();
    };
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const { table } = datapath;
        table.beginDenied();
        table.endDenied();
        table.beginFacts();
        table.endFacts();
        sweep(0);
        for (let n = 0; n <= 5; n++) table.remove(hashOf(n), { ms: 2 ** 43, seq: 0 });
        table.flush();
        const memory = new MemoryTable();
        for (const each of [table, memory]) each.beginGeneration();
        for (const one of changes) {
          make(table, one);
          make(memory, one);
          if (one.op === 'flush') expect(table.flush()).toEqual(memory.flush());
        }
        for (const each of [table, memory]) each.commitGeneration();
        expect(table.flush()).toEqual(memory.flush());
        const { generation } = datapath.settings;
        const denied = memory.denied(0);
        for (let n = 0; n <= 5; n++) {
          const session = held(n);
          const live = session !== undefined && session.generation >= generation ? session.backendId : undefined;
          expect(live, `session ${n}`).toBe(memory.lookup(hashOf(n))?.backendId);
          expect(table.findDenied(Buffer.alloc(16, n)), `revocation ${n}`).toBe(denied.get(hashOf(n)));
          if (denied.has(hashOf(n))) expect(session?.flags ?? SessionFlag.DENIED).toBe(SessionFlag.DENIED);
          const fact = table.findFact(Buffer.alloc(16, n));
          const expected = memory.fact(hashOf(n));
          expect(fact?.value.subarray(0, fact.length), `fact ${n}`).toEqual(expected && new Uint8Array(expected.value));
          expect(fact && Number(fact.version / 2n ** 20n)).toBe(expected?.ms);
        }
        sweep(0);
        for (let n = 0; n <= 5; n++) {
          const flags = denied.has(hashOf(n)) ? SessionFlag.DENIED : 0;
          expect(held(n)?.flags ?? flags, `flags of session ${n}`).toBe(flags);
        }
        expect(table.deniedEntries).toBe(denied.size);
        expect(table.factEntries).toBe(memory.factNames().length);
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

  test('counts the live sessions of each backend, as of the last whole walk', () => {
    const { table, sweeper } = datapath;
    expect(sweeper.backendSessions).toBeUndefined();
    const counted = () => [0, 1, 2, 65_535].map((id) => sweeper.backendSessions?.[id]);
    table.put(hashOf(1), { ms: 1, seq: 0 }, 0, 1);
    table.put(hashOf(2), { ms: 1, seq: 0 }, 5_000, 1);
    table.put(hashOf(3), { ms: 1, seq: 0 }, 0, 65_535);
    table.put(hashOf(4), { ms: 1, seq: 0 }, 0, 0);
    table.deny(hashOf(3), 10_000);
    table.flush();
    sweep(1_000);
    expect(counted()).toEqual([1, 2, 0, 1]);
    table.put(hashOf(3), { ms: 2, seq: 0 }, 0, 2);
    table.flush();
    expect(counted()).toEqual([1, 2, 0, 1]);
    sweep(5_000);
    expect(counted()).toEqual([1, 1, 1, 0]);
  });

  test('begins anew at once where a generation comes into force in a full table', () => {
    const { table, sweeper } = datapath;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      for (let i = 0; i < 1000; i++) table.put(randomBytes(16).toString('hex'), { ms: 1, seq: i }, 0, 1);
      table.flush();
      sweeper.start(
        () => 1_000,
        () => undefined,
      );
      vi.advanceTimersByTime(100);
      expect([sweeper.counts.walks, table.room]).toEqual([1, 0]);
      table.beginGeneration();
      table.commitGeneration();
      expect(table.hasGarbage).toBe(true);
      vi.advanceTimersByTime(100);
      expect([table.hasGarbage, table.room]).toEqual([false, 1000]);
      const { walks } = sweeper.counts;
      vi.advanceTimersByTime(2_000);
      expect(sweeper.counts.walks).toBeLessThan(walks + 2);
    } finally {
      sweeper.stop();
      vi.useRealTimers();
    }
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

describe('revocations', () => {
  const version = { ms: 1, seq: 0 };
  const denied = (n: number): number | undefined => datapath.table.findDenied(Buffer.alloc(16, n));
  const isFlagged = (n: number): boolean => held(n)?.flags === SessionFlag.DENIED;

  test('hold for a session that is written again, removed and written anew', () => {
    const { table } = datapath;
    table.put(hashOf(1), version, 0, 1);
    table.deny(hashOf(1), FOREVER_MS);
    expect(table.flush()).toEqual({ ...noChanges(), inserted: 1, denied: 1 });
    expect(isFlagged(1)).toBe(true);
    table.put(hashOf(1), version, 0, 2);
    table.flush();
    expect(held(1)).toMatchObject({ backendId: 2, flags: SessionFlag.DENIED });
    table.remove(hashOf(1), version);
    table.flush();
    expect(denied(1)).toBe(FOREVER_MS);
    table.put(hashOf(1), version, 0, 3);
    table.flush();
    expect(isFlagged(1)).toBe(true);
    table.deny(hashOf(1), 0);
    expect(table.flush()).toEqual({ ...noChanges(), allowed: 1 });
    expect(held(1)).toMatchObject({ backendId: 3, flags: 0 });
    expect(denied(1)).toBeUndefined();
  });

  test('hold over a resync, and for a daemon that adopts the maps', () => {
    datapath.table.put(hashOf(1), version, 0, 1);
    datapath.table.deny(hashOf(1), FOREVER_MS);
    datapath.table.deny(hashOf(2), FOREVER_MS);
    datapath.table.beginGeneration();
    datapath.table.put(hashOf(1), version, 0, 1);
    datapath.table.commitGeneration();
    expect(isFlagged(1)).toBe(true);
    datapath.close();

    datapath = open();
    expect(datapath.adopted).toBe(true);
    expect([denied(1), denied(2)]).toEqual([FOREVER_MS, FOREVER_MS]);
    datapath.table.put(hashOf(1), { ms: 2, seq: 0 }, 0, 1);
    datapath.table.put(hashOf(2), { ms: 2, seq: 0 }, 0, 1);
    datapath.table.flush();
    expect([isFlagged(1), isFlagged(2)]).toEqual([true, true]);
    expect(datapath.table.deniedEntries).toBe(2);
  });

  test('that are not told again are gone at one moment, those told meanwhile stay', () => {
    const { table } = datapath;
    for (const n of [1, 2, 3]) table.put(hashOf(n), version, 0, 1);
    table.deny(hashOf(1), FOREVER_MS);
    table.deny(hashOf(2), FOREVER_MS);
    table.beginDenied();
    table.deny(hashOf(1), FOREVER_MS - 1);
    table.deny(hashOf(3), FOREVER_MS);
    table.flush();
    expect([1, 2, 3].map(denied)).toEqual([FOREVER_MS - 1, FOREVER_MS, FOREVER_MS]);
    table.endDenied();
    expect([1, 2, 3].map(denied)).toEqual([FOREVER_MS - 1, undefined, FOREVER_MS]);
    sweep(0);
    expect(table.deniedEntries).toBe(2);
    expect([1, 2, 3].map(isFlagged)).toEqual([true, false, true]);
  });

  test('that a daemon was telling when it died are not in force under the next one once it has told its own', () => {
    datapath.table.deny(hashOf(1), FOREVER_MS);
    datapath.table.beginDenied();
    datapath.table.deny(hashOf(2), FOREVER_MS);
    datapath.table.flush();
    datapath.close();

    datapath = open();
    expect([1, 2].map(denied)).toEqual([FOREVER_MS, FOREVER_MS]);
    datapath.table.beginDenied();
    datapath.table.deny(hashOf(3), FOREVER_MS);
    datapath.table.endDenied();
    expect([1, 2, 3].map(denied)).toEqual([undefined, undefined, FOREVER_MS]);
  });

  test('are collected when they are over, but not one that was renewed since the sweeper saw it', () => {
    const { table } = datapath;
    for (const n of [1, 2]) table.put(hashOf(n), version, 0, 1);
    table.deny(hashOf(1), 5_000);
    table.deny(hashOf(2), 5_001);
    table.flush();
    sweep(5_000);
    expect([1, 2].map(denied)).toEqual([undefined, 5_001]);
    expect([1, 2].map(isFlagged)).toEqual([false, true]);
    const seen = new DataView(new ArrayBuffer(deniedLayout.size));
    writeDenied(seen, 0, { untilMs: 5_001n, generation: datapath.settings.deniedGeneration, zero: 0, check: 0n });
    table.deny(hashOf(2), 9_000);
    table.collect('denied', Buffer.from(hashOf(2), 'hex'), new Uint8Array(seen.buffer));
    expect(table.flush()).toEqual({ ...noChanges(), denied: 1 });
    expect(denied(2)).toBe(9_000);
    expect(isFlagged(2)).toBe(true);
  });

  test('more than there is room for are refused and counted, and leave the others as they were', () => {
    const { table } = datapath;
    const hash = Buffer.alloc(16);
    const hashAt = (n: number): string => {
      hash.writeUInt32LE(n);
      return hash.toString('hex');
    };
    for (let n = 0; n < Limit.DENIED; n++) table.deny(hashAt(n), 1_000);
    expect(table.flush()).toMatchObject({ denied: Limit.DENIED, deniedRefused: 0 });
    table.put(hashOf(0xee), version, 0, 1);
    table.deny(hashOf(0xee), FOREVER_MS);
    table.deny(hashOf(0xff), FOREVER_MS);
    table.deny(hashAt(7), FOREVER_MS);
    expect(table.flush()).toMatchObject({ denied: 1, deniedRefused: 2 });
    expect(table.deniedRefused).toBe(2);
    expect(table.deniedRoom).toEqual({ free: 0, hasGarbage: false });
    expect([denied(0xee), isFlagged(0xee)]).toEqual([undefined, false]);
    sweep(1_000);
    expect(table.deniedEntries).toBe(1);
    table.deny(hashOf(0xee), FOREVER_MS);
    table.flush();
    expect(isFlagged(0xee)).toBe(true);
  });
});

describe('facts', () => {
  const fact = (n: number): string | undefined => {
    const found = datapath.table.findFact(Buffer.alloc(16, n));
    return found && Buffer.from(found.value.subarray(0, found.length)).toString();
  };
  const put = (n: number, value: string, ms: number): void => {
    datapath.table.putFact(hashOf(n), Buffer.from(value), { ms, seq: 0 });
  };

  test('are what was told last, whatever its version', () => {
    const { table } = datapath;
    put(1, 'first', 2);
    put(1, 'second', 1);
    expect(table.flush()).toEqual({ ...noChanges(), facts: 2 });
    expect(fact(1)).toBe('second');
    put(1, '', 2);
    table.flush();
    expect(fact(1)).toBe('');
    table.beginFacts();
    put(1, 'told anew', 0);
    table.endFacts();
    expect(fact(1)).toBe('told anew');
    table.removeFact(hashOf(1));
    table.flush();
    expect(fact(1)).toBeUndefined();
    expect(table.factEntries).toBe(0);
  });

  test('that are not told again are gone at one moment, and their room is free after a sweep', () => {
    const { table } = datapath;
    const hash = Buffer.alloc(16, 0xcc);
    for (let n = 0; n < Limit.FACTS - 1; n++) {
      hash.writeUInt32LE(n);
      table.putFact(hash.toString('hex'), Buffer.from('x'), { ms: 1, seq: 0 });
    }
    put(1, 'one', 1);
    put(2, 'two', 1);
    expect(table.flush()).toEqual({ ...noChanges(), facts: Limit.FACTS, factsRefused: 1 });
    expect(table.factsRefused).toBe(1);
    table.beginFacts();
    put(1, 'one again', 1);
    table.endFacts();
    hash.writeUInt32LE(0);
    expect([fact(1), fact(2), table.findFact(hash)]).toEqual(['one again', undefined, undefined]);
    expect(table.factsRoom).toEqual({ free: 0, hasGarbage: true });
    sweep(0);
    expect(table.factEntries).toBe(1);
    expect(table.factsRoom).toEqual({ free: Limit.FACTS - 1, hasGarbage: false });
  });

  test('of more than 24 bytes are refused', () => {
    expect(() => put(1, 'x'.repeat(25), 1)).toThrow(/25 bytes/);
  });
});
