import { hash as digest } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { MemorySweeper } from '../../../src/gateway/responder/memory-sweeper.ts';
import { MemoryTable } from '../../../src/gateway/responder/memory-table.ts';
import { SessionParts } from '../../../src/gateway/responder/session-parts.ts';
import { type HeldRecord, SessionSlots } from '../../../src/gateway/responder/session-slots.ts';
import { Choices } from '../../bpf/choices.ts';
import { MemoryTable as Model } from '../../sync/memory-table.ts';

const NOW_MS = 1_800_000_000_000;
const OPERATIONS = Number(process.env['OPERATIONS'] ?? 6_000);
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32));

/** The more often, the likelier. */
const TOLD = [
  ...Array<'put'>(200).fill('put'),
  ...Array<'remove'>(60).fill('remove'),
  ...Array<'deny'>(30).fill('deny'),
  ...Array<'putFact'>(30).fill('putFact'),
  ...Array<'removeFact'>(10).fill('removeFact'),
  ...(['beginGeneration', 'commitGeneration', 'beginDenied', 'endDenied', 'beginFacts', 'endFacts', 'sweep'] as const),
] as const;

const hashOf = (i: number): string => digest('sha256', `session-${i}`, 'hex');
const bytesOf = (hash: string): Buffer => Buffer.from(hash.slice(0, 32), 'hex');

function newTable(capacity: number): MemoryTable {
  const settings = { clockOffsetMs: 0, inStepMs: 0, staleAfterMs: 1, maxSkewMs: 1, generation: 0, ready: false };
  return new MemoryTable(settings, capacity);
}

/** What a lookup finds, now. */
function live(table: MemoryTable, hash: string): string | undefined {
  const held = table.session(bytesOf(hash));
  if (held === undefined || held.generation < table.settings.generation) return undefined;
  if (held.expiresMs !== 0 && held.expiresMs <= NOW_MS) return undefined;
  return `${held.backendId} until ${held.expiresMs} version ${held.version}`;
}

test(`holds what the model of the port holds, whatever is told, seed ${SEED}`, () => {
  const choose = new Choices(SEED);
  const names = 60;
  const capacity = 25;
  const table = newTable(capacity);
  const model = new Model(capacity);
  const sweeper = new MemorySweeper(table, { timer: () => () => undefined });
  for (let i = 0; i < OPERATIONS; i++) {
    const hash = hashOf(choose.below(names));
    const version = { ms: choose.of([0, 1, 2, 2 ** 43 - 1]), seq: choose.of([0, 1, 2 ** 20 - 1]) };
    const both = [table, model] as const;
    const tell = TOLD[choose.below(TOLD.length)] as (typeof TOLD)[number];
    if (tell === 'sweep') {
      while (!sweeper.step(NOW_MS));
      model.flush();
      table.flush();
      model.collect(NOW_MS);
      expect(table.hasGarbage).toBe(false);
    } else {
      const value = choose.bytes(choose.below(25));
      const untilMs = choose.of([0, NOW_MS + 1, 253_402_300_799_999]);
      const expiresMs = choose.of([0, NOW_MS, NOW_MS + 1, 253_402_300_799_999]);
      const backendId = choose.below(65_536);
      for (const one of both) {
        if (tell === 'put') one.put(hash, version, expiresMs, backendId);
        else if (tell === 'remove') one.remove(hash, version);
        else if (tell === 'deny') one.deny(hash, untilMs);
        else if (tell === 'putFact') one.putFact(hash, value, version);
        else if (tell === 'removeFact') one.removeFact(hash);
        else one[tell]();
      }
    }
    if (choose.oneIn(10)) expect(table.flush(), `operation ${i}`).toEqual(model.flush());
    if (!choose.oneIn(100)) continue;
    table.flush();
    model.flush();
    expect(table.entries).toBe(model.held.size);
    const denied = model.denied(NOW_MS);
    for (let name = 0; name < names; name++) {
      const of = hashOf(name);
      const held = model.lookup(of, NOW_MS);
      const wanted =
        held && `${held.backendId} until ${held.expiresMs} version ${BigInt(held.ms) * 2n ** 20n + BigInt(held.seq)}`;
      expect(live(table, of), `operation ${i}`).toBe(wanted);
      const untilMs = table.denied(bytesOf(of));
      expect(untilMs > NOW_MS ? untilMs : undefined).toBe(denied.get(of.slice(0, 32)));
      expect(table.fact(bytesOf(of))?.value).toEqual(model.fact(of.slice(0, 32))?.value);
    }
  }
});

const recordOf = (i: number): HeldRecord => ({
  ms: i,
  seq: i % 7,
  expiresMs: i * 1000,
  generation: 1,
  backendId: i % 65_536,
});

test(`holds what a Map holds, while it grows, shrinks and is swept, seed ${SEED}`, () => {
  const choose = new Choices(SEED);
  const names = 12_000;
  const capacity = 10_000;
  const hashes = Array.from({ length: names }, (_, i) => bytesOf(hashOf(i)));
  const parts = new SessionParts(capacity);
  const model = new Map<number, HeldRecord>();
  const isHeld = (name: number): boolean => isDeepStrictEqual(parts.find(hashes[name] as Buffer), model.get(name));
  const wrong: string[] = [];
  for (let i = 0; i < 60_000; i++) {
    const name = choose.below(names);
    const hash = hashes[name] as Buffer;
    // Fuller and fuller, then emptier.
    if (choose.oneIn(i < 40_000 ? 8 : 2)) {
      parts.remove(hash);
      model.delete(name);
    } else {
      const isRoom = model.has(name) || model.size < capacity;
      if (parts.put(hash, recordOf(i)) !== isRoom) wrong.push(`operation ${i}: put`);
      if (isRoom) model.set(name, recordOf(i));
    }
    if (choose.oneIn(500)) {
      const isDead = ({ seq }: HeldRecord): boolean => seq === 3;
      const before = parts.size;
      const part = choose.below(parts.count);
      const collected = parts.collect(part, isDead);
      for (const [name, record] of model) {
        if (isDead(record) && parts.find(hashes[name] as Buffer) === undefined) model.delete(name);
      }
      if (before - parts.size !== collected) wrong.push(`operation ${i}: collected`);
    }
    if (parts.size !== model.size || !isHeld(name) || !isHeld(choose.below(names))) wrong.push(`operation ${i}`);
  }
  expect(wrong).toEqual([]);
  expect(hashes.filter((_, name) => !isHeld(name))).toEqual([]);
});

test('a table that grows moves some thousand records at a time, however many it holds', () => {
  const capacity = 40_000;
  const parts = new SessionParts(capacity);
  for (let i = 0; i < capacity; i++) if (!parts.put(bytesOf(hashOf(i)), recordOf(i))) expect.unreachable();
  expect(parts.put(bytesOf(hashOf(capacity)), recordOf(0)), 'over the capacity').toBe(false);
  const slots = Array.from({ length: parts.count }, (_, part) => parts.slotsOf(part));
  expect(slots.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(capacity);
  expect(Math.max(...slots)).toBeLessThanOrEqual(4_096);
});

test('a walk sees each record once, whatever it removes, over the end of the array too', () => {
  const slots = new SessionSlots();
  // All want the last slots of the 16.
  for (let i = 0; i < 11; i++) slots.put(Buffer.from([12 + (i % 4), ...Array(14).fill(0), i]), recordOf(i), true);
  const seen: number[] = [];
  const collected = slots.collect(({ ms }) => {
    seen.push(ms);
    return ms % 2 === 0;
  });
  expect(seen.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect([collected, slots.size]).toEqual([6, 5]);
});

test('hashes that want the same slot are told apart, over the end of the array too', () => {
  const slots = new SessionSlots();
  const hashes = Array.from({ length: 40 }, (_, i) => {
    const hash = Buffer.alloc(16, 0xff);
    hash[15] = i;
    return hash;
  });
  const record = { ms: 1, seq: 0, expiresMs: 0, generation: 1, backendId: 0 };
  for (const [i, hash] of hashes.entries()) slots.put(hash, { ...record, backendId: i }, true);
  for (const hash of hashes.slice(0, 20)) slots.remove(slots.find(hash));
  for (const [i, hash] of hashes.entries()) {
    const slot = slots.find(hash);
    expect(slot < 0 ? undefined : slots.record(slot).backendId).toBe(i < 20 ? undefined : i);
  }
});

test('a table that a full load fills is swept at once, and counts backends', () => {
  const timers: (() => void)[] = [];
  const table = newTable(10);
  const sweeper = new MemorySweeper(table, {
    timer: (_ms, callback) => {
      timers.push(callback);
      return () => void timers.splice(timers.indexOf(callback), 1);
    },
  });
  let wentBack = 0;
  let nowMs = NOW_MS;
  sweeper.start(
    () => nowMs,
    () => {
      wentBack += 1;
    },
  );
  const put = (i: number): void => table.put(hashOf(i), { ms: 1, seq: 0 }, 0, 7);
  table.beginGeneration();
  for (let i = 0; i < 5; i++) put(i);
  table.commitGeneration();
  table.beginGeneration();
  for (let i = 5; i < 12; i++) put(i);
  expect(table.flush()).toMatchObject({ inserted: 10, refused: 2 });
  table.commitGeneration();
  expect(table.hasGarbage).toBe(true);
  expect(timers).toHaveLength(1);
  timers.shift()?.();
  expect(table).toMatchObject({ hasGarbage: false, room: 5, refused: 2 });
  expect(sweeper.counts.collected).toBe(5);
  expect(sweeper.backendSessions?.[7]).toBe(5);
  nowMs -= 5_000;
  timers.shift()?.();
  expect(wentBack).toBe(1);
  sweeper.stop();
  expect(timers).toHaveLength(0);
});
