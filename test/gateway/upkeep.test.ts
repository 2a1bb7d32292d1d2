import { beforeEach, describe, expect, test } from 'vitest';
import { Limit } from '../../src/abi.ts';
import { addressBytes } from '../../src/gateway/addresses.ts';
import { createLogger } from '../../src/gateway/log.ts';
import { type Kept, Upkeep } from '../../src/gateway/upkeep.ts';

class FakeKernel implements Kept {
  offsetMs = 0;
  found: Uint8Array[] = [addressBytes('192.0.2.1')];
  readonly sets: number[] = [];
  back: string[] = [];
  ready = false;
  failure: Error | undefined;
  takeOvers = 0;

  setClockOffset(ms: number) {
    this.offsetMs = ms;
  }
  addresses() {
    return this.found;
  }
  setAddresses(addresses: readonly Uint8Array[]) {
    this.sets.push(addresses.length);
  }
  reattach() {
    return this.back;
  }
  isReady() {
    return this.ready;
  }
  takeOver() {
    this.takeOvers += 1;
    if (this.failure !== undefined) throw this.failure;
  }
}

let kernel: FakeKernel;
let clocks: { wall: number; monotonic: number };
let lines: { msg: string; level: string }[];
let upkeep: Upkeep;

beforeEach(() => {
  kernel = new FakeKernel();
  clocks = { wall: 1_700_000_000_000, monotonic: 5_000.25 };
  lines = [];
  const log = createLogger('info', { write: (line) => lines.push(JSON.parse(line)) });
  upkeep = new Upkeep(kernel, { wallMs: () => clocks.wall, monotonicMs: () => clocks.monotonic }, log);
  upkeep.begin();
});

test('the clock is set before anything is answered, and put right after a step', () => {
  expect(kernel.offsetMs).toBe(1_699_999_995_000);
  clocks = { wall: clocks.wall - 3_600_000, monotonic: 6_000 };
  upkeep.round();
  expect(kernel.offsetMs).toBe(1_699_996_394_000);
});

describe('addresses', () => {
  test('are set when they change, and only then', () => {
    upkeep.round();
    expect(kernel.sets).toEqual([1]);
    kernel.found = [addressBytes('2001:db8::1'), addressBytes('192.0.2.1')];
    upkeep.round();
    // In another order they are the same.
    kernel.found = kernel.found.toReversed();
    upkeep.round();
    expect(kernel.sets).toEqual([1, 2]);
    expect(upkeep.addresses).toEqual(['192.0.2.1', '2001:db8::1']);
  });

  test('that are gone are taken out, with a warning', () => {
    kernel.found = [];
    upkeep.round();
    upkeep.round();
    expect(kernel.sets).toEqual([1, 0]);
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test('none at the start: what an earlier daemon set is taken out', () => {
    kernel = new FakeKernel();
    kernel.found = [];
    new Upkeep(kernel, { wallMs: () => 0, monotonicMs: () => 0 }, createLogger('fatal')).begin();
    expect(kernel.sets).toEqual([0]);
  });

  test('more than the map holds', () => {
    kernel.found = Array.from({ length: Limit.ADDRESSES + 5 }, (_, i) => addressBytes(`10.0.${i >> 8}.${i & 255}`));
    upkeep.round();
    upkeep.round();
    expect(kernel.sets).toEqual([1, Limit.ADDRESSES]);
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([expect.objectContaining({ left: 5 })]);
  });
});

test('an interface that came back is told', () => {
  kernel.back = ['eth1'];
  upkeep.round();
  expect(lines.at(-1)).toMatchObject({ interface: 'eth1', level: 'warn' });
});

describe('the take-over', () => {
  test('is made once, when the first load is in', () => {
    upkeep.round();
    expect(kernel.takeOvers).toBe(0);
    kernel.ready = true;
    upkeep.round();
    upkeep.round();
    expect(kernel.takeOvers).toBe(1);
  });

  test('that fails is tried again, and told once', () => {
    kernel.ready = true;
    kernel.failure = new Error('eth0 is away');
    for (let i = 0; i < 3; i++) upkeep.round();
    expect(kernel.takeOvers).toBe(3);
    expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    kernel.failure = undefined;
    upkeep.round();
    upkeep.round();
    expect(kernel.takeOvers).toBe(4);
  });
});
