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
  away: { name: string; reason: string }[] = [];
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
    return { back: this.back, away: this.away };
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
let lines: { msg: string; level: string; byMs?: number }[];
let upkeep: Upkeep;

beforeEach(() => {
  kernel = new FakeKernel();
  clocks = { wall: 1_700_000_000_000, monotonic: 5_000.25 };
  lines = [];
  const log = createLogger('info', { write: (line) => lines.push(JSON.parse(line)) });
  upkeep = new Upkeep(kernel, { wallMs: () => clocks.wall, monotonicMs: () => clocks.monotonic }, log);
  upkeep.begin();
});

describe('the clock', () => {
  const steps = () => lines.filter(({ msg }) => msg.includes('clock'));

  test('is set before anything is answered', () => {
    expect(kernel.offsetMs).toBe(1_699_999_995_000);
    expect(steps()).toEqual([]);
  });

  test.each([-3_600_000, 3_600_000])('is put right after a step of %i ms, which is told', (byMs) => {
    clocks = { wall: clocks.wall + 1_000 + byMs, monotonic: clocks.monotonic + 1_000 };
    upkeep.round();
    expect(kernel.offsetMs).toBe(1_699_999_995_000 + byMs);
    upkeep.round();
    expect(steps()).toEqual([expect.objectContaining({ level: 'warn', byMs })]);
  });

  test('is put right after the machine has slept: the monotonic clock stood meanwhile', () => {
    clocks = { wall: clocks.wall + 8 * 3_600_000, monotonic: clocks.monotonic + 40 };
    upkeep.round();
    expect(steps()).toEqual([expect.objectContaining({ byMs: 8 * 3_600_000 - 40 })]);
  });

  test('that drifts or is slewed is followed in silence', () => {
    for (let second = 0; second < 20; second++) {
      clocks = { wall: clocks.wall + 1_080, monotonic: clocks.monotonic + 1_000 };
      upkeep.round();
    }
    expect(kernel.offsetMs).toBe(1_699_999_995_000 + 20 * 80);
    expect(steps()).toEqual([]);
  });

  test('is not taken wrong when the process pauses between the readings', () => {
    let pauses = 3;
    const pausing = {
      wallMs: () => {
        if (pauses-- > 0) clocks = { wall: clocks.wall + 700, monotonic: clocks.monotonic + 700 };
        return clocks.wall;
      },
      monotonicMs: () => clocks.monotonic,
    };
    new Upkeep(kernel, pausing, createLogger('fatal')).begin();
    expect(kernel.offsetMs).toBe(1_699_999_995_000);
  });
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
    const warnings = lines.filter(({ level }) => level === 'warn');
    expect(warnings).toEqual([expect.objectContaining({ msg: expect.stringContaining('listen.addresses') })]);
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

describe('an interface', () => {
  test('that came back is told', () => {
    kernel.back = ['eth1'];
    upkeep.round();
    expect(lines.at(-1)).toMatchObject({ interface: 'eth1', level: 'warn' });
  });

  test('that the program is not on is told once for each reason, and again when it was back', () => {
    const told = () => lines.filter(({ level }) => level === 'error');
    kernel.away = [{ name: 'eth1', reason: 'there is no interface "eth1"' }];
    for (let i = 0; i < 3; i++) upkeep.round();
    expect(told()).toEqual([expect.objectContaining({ interface: 'eth1', reason: 'there is no interface "eth1"' })]);
    kernel.away = [{ name: 'eth1', reason: 'another owner' }];
    for (let i = 0; i < 3; i++) upkeep.round();
    expect(told()).toHaveLength(2);
    kernel.away = [];
    kernel.back = ['eth1'];
    upkeep.round();
    kernel.back = [];
    kernel.away = [{ name: 'eth1', reason: 'another owner' }];
    upkeep.round();
    expect(told()).toHaveLength(3);
  });
});

test('a step that fails is told once, and keeps the others from nothing', () => {
  const errors = () => lines.filter(({ level }) => level === 'error');
  const failing = ['setClockOffset', 'reattach', 'addresses'] as const;
  for (const name of failing) {
    kernel[name] = () => {
      throw new Error(`${name} failed`);
    };
  }
  kernel.ready = true;
  for (let i = 0; i < 3; i++) upkeep.round();
  expect(errors()).toHaveLength(failing.length);
  expect(kernel.takeOvers).toBe(1);
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
