/** The program on interfaces and its pins, in a network namespace of the test's own: starts that fail, renamed interfaces, pins that are not what they were. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ABI_HASH, type Key, Limit, SHARED_HASH, Suite } from '../../../src/abi.ts';
import { Datapath, type DatapathEvents, detachAll } from '../../../src/gateway/kernel/datapath.ts';
import {
  attachedXdp,
  attachXdp,
  BpfObject,
  detachLink,
  mapKeys,
  openPin,
  pin,
} from '../../../src/gateway/kernel/libbpf.ts';
import { enterNetworkNamespace, interfaceAddresses, interfaceIndex } from '../../../src/gateway/kernel/libc.ts';
import type { AttachRequest } from '../../../src/gateway/kernel/links.ts';
import { WallClock } from '../../../src/gateway/kernel/wall-clock.ts';

const CAPACITY = 100;
const OTHER_CAPACITY = 200;
const name = `sgwdp-${process.pid}`;
const pins = `/sys/fs/bpf/${name}`;
const object = (file: string): string => fileURLToPath(new URL(`../../../build/${file}.bpf.o`, import.meta.url));
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
const KEY: Key = {
  notBeforeMs: 0n,
  notAfterMs: 2n ** 64n - 1n,
  guardKey: new Uint8Array(16),
  innerState: Array(8).fill(0),
  outerState: Array(8).fill(0),
  suite: Suite.HMAC_SHA256,
  encrypt: 0,
  usesAt: 0,
  zero: 0,
};

let home: number;
let events: string[];
const open: Datapath[] = [];
const objects: BpfObject[] = [];

beforeEach(() => {
  home = fs.openSync('/proc/self/ns/net', 'r');
  ip('netns', 'add', name);
  const namespace = fs.openSync(`/run/netns/${name}`, 'r');
  enterNetworkNamespace(namespace);
  fs.closeSync(namespace);
  ip('link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'a1');
  ip('link', 'add', 'b0', 'type', 'veth', 'peer', 'name', 'b1');
  events = [];
});
afterEach(() => {
  for (const datapath of open.splice(0)) datapath.close();
  for (const each of objects.splice(0)) each.close();
  detachAll(pins);
  fs.rmSync(pins, { recursive: true, force: true });
  enterNetworkNamespace(home);
  fs.closeSync(home);
  ip('netns', 'del', name);
});

function start(capacity = CAPACITY, attach: AttachRequest = 'auto'): Datapath {
  const note: DatapathEvents = {
    generic: (on) => events.push(`generic ${on}`),
    attached: (on, mode) => events.push(`attached ${on} ${mode}`),
    kept: (on, mode) => events.push(`kept ${on} ${mode}`),
    putAside: (directory, problem) => events.push(`aside ${directory.slice(pins.length + 1)}: ${problem}`),
  };
  const datapath = new Datapath({ pins, capacity, object: object('gateway'), attach, events: note });
  open.push(datapath);
  return datapath;
}

function stop(datapath: Datapath): void {
  datapath.close();
  open.splice(open.indexOf(datapath), 1);
}

function passProgram(): number {
  const pass = new BpfObject(object('pass'));
  objects.push(pass);
  pass.load('pass');
  return pass.programFd('pass');
}

const programOn = (interfaceName: string): number | undefined => attachedXdp(interfaceIndex(interfaceName))?.programId;
const pinnedLinks = (): string[] => fs.readdirSync(join(pins, 'links')).sort();
const mapDirectories = (): string[] => fs.readdirSync(pins).filter((file) => file !== 'links');

/** Leaves a program answering on these, with a table that is filled. */
function leave(interfaces: readonly string[]): void {
  const datapath = start();
  datapath.settings.ready = true;
  datapath.attach(interfaces, () => {});
  stop(datapath);
}

describe('a start that fails changes nothing', () => {
  test('an interface is missing', () => {
    leave(['a0']);
    const before = programOn('a0');
    const datapath = start();
    let configured = false;
    const attach = () => datapath.attach(['b0', 'a0', 'nowhere0'], () => (configured = true));
    expect(attach).toThrow(/nowhere0.*ip link/);
    expect(configured).toBe(false);
    expect([programOn('a0'), programOn('b0')]).toEqual([before, undefined]);
  });

  test('an interface has another owner', () => {
    leave(['a0']);
    const before = programOn('a0');
    const link = attachXdp(passProgram(), interfaceIndex('a1'), 'generic');
    const datapath = start();
    let configured = false;
    expect(() => datapath.attach(['b0', 'a1', 'a0'], () => (configured = true))).toThrow(/another owner/);
    expect(configured).toBe(false);
    expect([programOn('a0'), programOn('b0')]).toEqual([before, undefined]);
    fs.closeSync(link);
  });

  test('keys or addresses are refused', () => {
    leave(['a0']);
    const before = programOn('a0');
    const datapath = start();
    const attach = () =>
      datapath.attach(['a0', 'b0'], () => {
        throw new Error('no');
      });
    expect(attach).toThrow('no');
    expect([programOn('a0'), programOn('b0')]).toEqual([before, undefined]);
    expect(pinnedLinks()).toEqual(['a0']);
  });
});

describe('interfaces', () => {
  test('that are no longer named lose the program', () => {
    leave(['a0', 'b0']);
    start().attach(['b0']);
    expect(programOn('a0')).toBeUndefined();
    expect(pinnedLinks()).toEqual(['b0']);
  });

  test('that were renamed, or changed names with each other, are taken over', () => {
    leave(['a0', 'b0']);
    const before = [programOn('a0'), programOn('b0')];
    ip('link', 'set', 'a0', 'name', 'c0');
    ip('link', 'set', 'b0', 'name', 'a0');
    ip('link', 'set', 'c0', 'name', 'b0');
    const datapath = start();
    datapath.attach(['a0']);
    expect(programOn('b0')).toBeUndefined();
    expect(before).not.toContain(programOn('a0'));
    stop(datapath);
    ip('link', 'set', 'a0', 'name', 'z0.7');
    start().attach(['z0.7']);
    expect(programOn('z0.7')).toBeDefined();
    expect(pinnedLinks()).toEqual(['z0%2E7']);
  });

  test('come back: the program is attached again; what keeps it off is told', () => {
    const datapath = start();
    datapath.settings.ready = true;
    datapath.attach(['a0', 'b0']);
    ip('link', 'del', 'a0');
    expect(datapath.reattach(['a0', 'b0'])).toEqual({
      back: [],
      away: [{ name: 'a0', reason: expect.stringMatching(/there is no interface "a0"/) }],
    });
    ip('link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'a1');
    const link = attachXdp(passProgram(), interfaceIndex('a0'), 'native');
    expect(datapath.reattach(['a0', 'b0']).away).toEqual([
      { name: 'a0', reason: expect.stringMatching(/another owner/) },
    ]);
    detachLink(link);
    fs.closeSync(link);
    expect(datapath.reattach(['a0', 'b0'])).toEqual({ back: ['a0'], away: [] });
  });

  test('the mode that is asked for is that of a program that is there already, too', () => {
    const first = start(CAPACITY, 'generic');
    first.settings.ready = true;
    first.attach(['a0', 'lo']);
    stop(first);
    const modes = (datapath: Datapath) => datapath.interfaces(['a0', 'lo']).map(({ mode }) => mode);
    const any = start(CAPACITY, 'auto');
    any.attach(['a0', 'lo']);
    expect(modes(any)).toEqual(['generic', 'generic']);
    stop(any);
    const native = start(CAPACITY, 'native');
    native.attach(['a0', 'lo']);
    expect(modes(native)).toEqual(['native', 'generic']);
    expect(events).toContain('kept lo generic');
  });

  test('addresses are found whatever label they have, by any name of the interface', () => {
    ip('addr', 'add', '10.77.0.1/24', 'dev', 'a0', 'label', 'a0:1');
    ip('addr', 'add', '10.77.1.1', 'peer', '10.77.1.2', 'dev', 'a0');
    ip('addr', 'add', 'fd77::1/64', 'dev', 'a0');
    ip('link', 'property', 'add', 'dev', 'a0', 'altname', 'gateway-side');
    const addresses = interfaceAddresses().get(interfaceIndex('gateway-side')) ?? [];
    const hex = addresses.map((address) => Buffer.from(address).toString('hex')).sort();
    const v4 = (host: string) => `00000000000000000000ffff${host}`;
    expect(hex).toEqual([v4('0a4d0001'), v4('0a4d0101'), 'fd770000000000000000000000000001']);
    start().attach(['gateway-side']);
    expect(programOn('a0')).toBeDefined();
  });
});

test('all addresses may change at once, when there are as many as fit', () => {
  const datapath = start();
  const addresses = (net: number) =>
    Array.from({ length: Limit.ADDRESSES }, (_, i) =>
      Uint8Array.from({ length: 16 }, (_, at) => (at === 15 ? i % 256 : at === 14 ? i >> 8 : net)),
    );
  datapath.setAddresses(addresses(1));
  datapath.setAddresses(addresses(2));
  const fd = openPin(`${pins}/shared-${SHARED_HASH}/addresses`) ?? -1;
  const held = mapKeys(fd, 16, Limit.ADDRESSES + 1);
  fs.closeSync(fd);
  expect(held).toHaveLength(Limit.ADDRESSES);
  expect(held.every((address) => address[0] === 2)).toBe(true);
});

test('what the daemon itself answered is counted on by the next one', () => {
  const first = start();
  for (const id of [1, 1, Limit.BACKENDS - 1]) first.tables.countAnswer?.(id);
  stop(first);
  const second = start();
  second.tables.countAnswer?.(1);
  expect(second.backendAnswers([0, 1, Limit.BACKENDS - 1])).toEqual([0, 3, 1]);
});

describe('a program of another layout', () => {
  test('stays until the new table is filled, and has the new keys, addresses and clock; its maps go with it', () => {
    leave(['a0', 'b0']);
    const before = programOn('a0');
    const datapath = start(OTHER_CAPACITY);
    datapath.attach(['a0', 'b0'], () => datapath.putKey(7, KEY));
    expect([programOn('a0'), programOn('b0')]).toEqual([before, before]);
    expect(mapDirectories().sort()).toEqual(
      [`maps-${ABI_HASH}-${CAPACITY}`, `maps-${ABI_HASH}-${OTHER_CAPACITY}`, `shared-${SHARED_HASH}`].sort(),
    );
    ip('link', 'del', 'b0'); // away while it takes over
    datapath.settings.ready = true;
    datapath.takeOver();
    expect(programOn('a0')).not.toBe(before);
    expect(mapDirectories().sort()).toEqual([`maps-${ABI_HASH}-${OTHER_CAPACITY}`, `shared-${SHARED_HASH}`]);
    ip('link', 'add', 'b0', 'type', 'veth', 'peer', 'name', 'b1');
    expect(datapath.reattach(['a0', 'b0']).back).toEqual(['b0']);
    expect(programOn('b0')).toBe(programOn('a0'));
  });

  test('whose keys have another shape: the clock and the end of a key reach it, and its key ids stay used', () => {
    const first = start();
    first.settings.ready = true;
    first.attach(['a0']);
    for (const id of [1, 2]) {
      first.putKey(id, KEY);
      first.rememberKey(id, new Uint8Array(16).fill(id));
    }
    stop(first);
    const earlier = join(pins, 'shared-000000000000');
    fs.renameSync(join(pins, `shared-${SHARED_HASH}`), earlier);
    fs.renameSync(join(pins, `maps-${ABI_HASH}-${CAPACITY}`), join(pins, `maps-000000000000-${CAPACITY}`));
    const keys = openPin(join(earlier, 'keys')) ?? -1;
    const clockFd = openPin(join(earlier, 'wall_clock')) ?? -1;
    const clock = new WallClock(clockFd);

    const datapath = start();
    expect(datapath.adopted).toBe(false);
    expect(datapath.keyFingerprint(2)).toEqual(new Uint8Array(16).fill(2));
    datapath.attach(['a0'], () => {
      datapath.putKey(2, KEY);
      datapath.withdrawKeys();
      datapath.setClockOffset(1_234);
    });
    expect(mapKeys(keys, 4, 10).map(([id]) => id)).toEqual([2]);
    expect(clock.offsetMs).toBe(1_234);
    datapath.settings.ready = true;
    datapath.takeOver();
    expect(mapDirectories()).toHaveLength(2);
    clock.close();
    for (const fd of [keys, clockFd]) fs.closeSync(fd);
  });
});

describe('pins that are not what their directory says are made anew', () => {
  const own = `maps-${ABI_HASH}-${CAPACITY}`;

  test('one is missing', () => {
    leave(['a0']);
    const before = programOn('a0');
    fs.rmSync(join(pins, own, 'sessions'));
    const datapath = start();
    expect(datapath.adopted).toBe(false);
    expect(events.at(-1)).toBe(`aside ${own}: the pin sessions is missing`);
    datapath.attach(['a0']);
    expect(programOn('a0')).toBe(before); // which answers on, from its maps
    datapath.settings.ready = true;
    datapath.takeOver();
    expect(mapDirectories().sort()).toEqual([own, `shared-${SHARED_HASH}`]);
  });

  test('one is another map', () => {
    const other = start(OTHER_CAPACITY);
    stop(other);
    leave([]);
    fs.rmSync(join(pins, own, 'sessions'));
    const foreign = openPin(join(pins, `maps-${ABI_HASH}-${OTHER_CAPACITY}`, 'sessions')) ?? -1;
    pin(foreign, join(pins, own, 'sessions'));
    fs.closeSync(foreign);
    expect(start().adopted).toBe(false);
    expect(events.at(-1)).toBe(`aside ${own}: the pin sessions is another map: maxEntries: found 200, allowed 100`);
  });

  test('one is a program', () => {
    leave([]);
    fs.rmSync(join(pins, own, 'settings'));
    pin(passProgram(), join(pins, own, 'settings'));
    expect(start().adopted).toBe(false);
    expect(events.at(-1)).toMatch(/the pin settings is another map/);
  });

  test('what was on its way in or out when its daemon was killed', () => {
    leave([]);
    fs.renameSync(join(pins, own), join(pins, `${own}-removed`));
    fs.mkdirSync(join(pins, `${own}-unfinished`));
    fs.rmSync(join(pins, `${own}-removed`, 'sessions'));
    expect(start().adopted).toBe(false);
    expect(mapDirectories().sort()).toEqual([own, `shared-${SHARED_HASH}`]);
  });
});

test('what somebody else has pinned beside is left alone', () => {
  leave(['a0']);
  fs.mkdirSync(join(pins, 'mine'));
  pin(passProgram(), join(pins, 'mine', 'pass'));
  pin(passProgram(), join(pins, 'links', 'pass'));
  const datapath = start(OTHER_CAPACITY);
  datapath.attach(['a0']);
  datapath.settings.ready = true;
  datapath.takeOver();
  stop(datapath);
  expect(detachAll(pins)).toEqual(['a0']);
  expect(fs.readdirSync(pins)).toEqual(['mine']);
});
