/** The pinned session table in the hands of another process than the one that made it. */
import { fileURLToPath } from 'node:url';
import { BpfObject, mapLookup, mapUpdate } from '../../../src/gateway/kernel/libbpf.ts';
import { adoptMaps } from '../../../src/gateway/kernel/map-adoption.ts';
import { ASKED, CAPACITY, hashOf, PASSING, PERMANENT } from './records.ts';

export const SHARED_MAPS = ['wall_clock', 'keys', 'addresses'];
export const OWN_MAPS = [
  'settings',
  'allowed_networks',
  'sessions',
  'session_copies',
  'denied',
  'facts',
  'under_way',
  'backends',
  'ring',
  'backend_answers',
  'table_counts',
  'verdict_counts',
];
export const WRITERS_MAPS = [
  'settings',
  'sessions',
  'session_copies',
  'denied',
  'facts',
  'under_way',
  'changes',
  'table_counts',
];

const built = (name: string): string => fileURLToPath(new URL(`../../../build/${name}.bpf.o`, import.meta.url));

/** @param directories of pinned maps, and the names of those that the program is to use */
export function loadOver(object: string, directories: Readonly<Record<string, readonly string[]>>): BpfObject {
  const opened = new BpfObject(built(object));
  for (const map of ['sessions', 'session_copies']) opened.setMaxEntries(map, CAPACITY);
  for (const [directory, names] of Object.entries(directories)) {
    const problem = adoptMaps(opened, directory, names);
    if (problem !== undefined) throw new Error(`${directory}: ${problem}`);
  }
  opened.load(object);
  return opened;
}

/** What lookups.bpf.c saw of all sessions. */
export interface Seen {
  found: number;
  /** Permanent sessions that were not there. */
  missed: number;
  busy: number;
  /** Records that were never written. */
  wrong: number;
  /** Older than what was seen before. */
  backward: number;
}

/** The programs of lookups.bpf.c over the table. */
export class Lookups {
  readonly #object: BpfObject;

  constructor(mapsDirectory: string) {
    this.#object = loadOver('lookups', { [mapsDirectory]: ['settings', 'sessions', 'session_copies', 'under_way'] });
    for (let index = 0; index < PERMANENT + PASSING; index++) {
      if (index >= ASKED) throw new RangeError(`lookups.bpf.c asks for ${ASKED} sessions at most`);
      const asked = Buffer.alloc(24);
      hashOf(index).copy(asked);
      asked.writeUInt32LE(Number(index < PERMANENT), 16);
      asked.writeUInt32LE(1, 20);
      mapUpdate(this.#object.mapFd('asked'), wordOf(index), asked);
    }
  }

  program(name: 'lookups' | 'interrupt'): number {
    return this.#object.programFd(name);
  }

  setPeriod(ns: number): void {
    const tick = Buffer.alloc(24);
    tick.writeBigUInt64LE(BigInt(ns), 16);
    mapUpdate(this.#object.mapFd('ticks'), wordOf(0), tick);
  }

  /** @param reader 0: `lookups`; 1: `interrupt` */
  seen(reader: 0 | 1): Seen {
    const value = new BigUint64Array(5);
    mapLookup(this.#object.mapFd('seen'), wordOf(reader), new Uint8Array(value.buffer));
    const [found = 0, missed = 0, busy = 0, wrong = 0, backward = 0] = [...value].map(Number);
    return { found, missed, busy, wrong, backward };
  }

  close(): void {
    this.#object.close();
  }
}

function wordOf(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
