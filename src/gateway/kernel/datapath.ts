/**
 * The program and its maps: loaded anew or taken over from the pins of an earlier daemon, without a
 * packet unanswered in between.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import {
  addressLayout,
  type Key,
  keyFingerprintLayout,
  keyLayout,
  Limit,
  networkLayout,
  readKey,
  Verdict,
  verdictCountsLayout,
  writeKey,
} from '../../abi.ts';
import { BpfObject, mapDelete, mapInfo, mapKeys, mapLookup, mapUpdate, openPin, pin, possibleCpus } from './libbpf.ts';
import { type AttachEvents, type AttachedInterface, type AttachRequest, Links } from './links.ts';
import { Pins } from './pins.ts';
import { KernelSessionTable } from './session-table.ts';
import { Settings } from './settings.ts';
import { Sweeper } from './sweeper.ts';

/** Every map of the object that is pinned. */
const PINNED_MAPS = [
  'settings',
  'addresses',
  'allowed_networks',
  'keys',
  'key_history',
  'sessions',
  'backends',
  'changes',
  'table_counts',
  'verdict_counts',
  'skew_budget',
] as const;
type MapName = (typeof PINNED_MAPS)[number];

/** Longer than any packet is looked at, an interruption by the hypervisor included. */
const KEY_READERS_MS = 2;

export interface DatapathOptions {
  /** Directory on a BPF file system. */
  pins: string;
  /** Most sessions held. */
  capacity: number;
  /** The compiled object. */
  object: string;
  attach: AttachRequest;
  events: AttachEvents;
}

/** An IP network as 16 bytes and a prefix length of 0 to 128; IPv4 counts from bit 96. */
export interface Network {
  bytes: Uint8Array;
  prefixLength: number;
}

export type VerdictName = Exclude<keyof typeof Verdict, 'COUNT'>;

export class Datapath {
  readonly settings: Settings;
  readonly table: KernelSessionTable;
  readonly sweeper: Sweeper;
  readonly capacity: number;
  /** Whether the maps, and what they hold, are an earlier daemon's. */
  readonly adopted: boolean;
  readonly #pins: Pins;
  readonly #object: BpfObject;
  readonly #links: Links;
  readonly #program: number;
  readonly #cpus = possibleCpus();
  #keyFreedMs = Number.NEGATIVE_INFINITY;
  /** Interfaces that an earlier program of another layout goes on serving until `takeOver`. */
  readonly #waiting = new Set<string>();

  /**
   * @throws NoBpffsError, PinsInUseError; BpfError when the kernel refuses the program or the memory
   */
  constructor(options: DatapathOptions) {
    this.capacity = options.capacity;
    this.#pins = new Pins(options.pins);
    this.#links = new Links(this.#pins, options.attach, options.events);
    this.#object = new BpfObject(options.object);
    this.adopted = fs.existsSync(this.#pins.maps(options.capacity));
    this.#object.setMaxEntries('sessions', options.capacity);
    if (this.adopted) this.#adoptMaps();
    this.#object.load('gateway');
    this.#program = this.#object.programFd('gateway');
    this.settings = new Settings(this.#fd('settings'));
    if (!this.adopted) {
      this.#carryKeyHistory();
      this.#pinMaps();
    }
    this.table = new KernelSessionTable(this.settings, {
      sessions: this.#fd('sessions'),
      changes: this.#fd('changes'),
      backends: this.#fd('backends'),
      tableCounts: this.#fd('table_counts'),
      applyChanges: this.#object.programFd('apply_changes'),
    });
    this.sweeper = new Sweeper(this.#fd('sessions'), this.table, this.settings);
  }

  /** Descriptor of the XDP program, to run it on packets without an interface. */
  get programDescriptor(): number {
    return this.#program;
  }

  #fd(name: MapName): number {
    return this.#object.mapFd(name);
  }

  #adoptMaps(): void {
    for (const name of PINNED_MAPS) {
      const fd = openPin(join(this.#pins.maps(this.capacity), name));
      if (fd === undefined)
        throw new Error(
          `the pin ${name} is gone from ${this.#pins.maps(this.capacity)}: run "gateway detach" and start anew`,
        );
      this.#object.reuseMap(name, fd);
      fs.closeSync(fd);
    }
  }

  /** A new layout begins with empty maps, but an id that was once used stays used. */
  #carryKeyHistory(): void {
    for (const directory of this.#pins.otherMaps(this.capacity)) {
      const fd = openPin(join(directory, 'key_history'));
      if (fd === undefined) continue;
      const { keySize, valueSize } = mapInfo(fd);
      if (keySize === 4 && valueSize === keyFingerprintLayout.size) {
        for (const key of mapKeys(fd, 4, Limit.KEY_HISTORY)) {
          const value = new Uint8Array(valueSize);
          if (mapLookup(fd, key, value)) mapUpdate(this.#fd('key_history'), key, value);
        }
      }
      fs.closeSync(fd);
    }
  }

  #pinMaps(): void {
    const directory = this.#pins.maps(this.capacity);
    const unfinished = `${directory}-unfinished`;
    fs.rmSync(unfinished, { recursive: true, force: true });
    fs.mkdirSync(unfinished);
    for (const name of PINNED_MAPS) pin(this.#fd(name), join(unfinished, name));
    fs.renameSync(unfinished, directory);
  }

  /**
   * Puts the program on these interfaces, and takes it off all others. Where an earlier program still
   * answers and these maps are yet to be filled, that one stays until `takeOver`.
   * @throws AttachError
   */
  attach(interfaces: readonly string[]): void {
    for (const name of interfaces) {
      if (!this.settings.ready && this.#links.isAttached(name)) this.#waiting.add(name);
      else this.#links.attach(name, this.#program);
    }
    for (const name of this.#pins.linked()) {
      if (!interfaces.includes(name)) this.#links.detach(name);
    }
  }

  /** To be called when the first load is in: the program replaces an earlier one, whose maps are removed. */
  takeOver(): void {
    for (const name of this.#waiting) this.#links.attach(name, this.#program);
    this.#waiting.clear();
    for (const directory of this.#pins.otherMaps(this.capacity)) fs.rmSync(directory, { recursive: true, force: true });
  }

  interfaces(names: readonly string[]): AttachedInterface[] {
    return names.map((name) => this.#links.state(name));
  }

  /** Attaches again where an interface has gone and come back; returns the names of those. */
  reattach(names: readonly string[]): string[] {
    const back: string[] = [];
    for (const name of names) {
      if (this.#waiting.has(name) || this.#links.isAttached(name)) continue;
      try {
        this.#links.attach(name, this.#program);
        back.push(name);
      } catch {
        // still away; `interfaces` says so
      }
    }
    return back;
  }

  /** The key in force under an id. */
  key(id: number): Key | undefined {
    const value = new DataView(new ArrayBuffer(keyLayout.size));
    return mapLookup(this.#fd('keys'), word(id), new Uint8Array(value.buffer)) ? readKey(value) : undefined;
  }

  putKey(id: number, key: Key): void {
    this.#waitForReaders();
    const value = new DataView(new ArrayBuffer(keyLayout.size));
    writeKey(value, 0, key);
    mapUpdate(this.#fd('keys'), word(id), new Uint8Array(value.buffer));
    new Uint8Array(value.buffer).fill(0); // it holds what the secret is made into
    this.#keyFreedMs = performance.now();
  }

  removeKey(id: number): void {
    mapDelete(this.#fd('keys'), word(id));
    this.#keyFreedMs = performance.now();
  }

  /**
   * The element of a key that was replaced or removed is the next that the kernel writes to, and a packet that is being
   * authenticated may still read it: it would be dropped, though its key is in force.
   */
  #waitForReaders(): void {
    const leftMs = this.#keyFreedMs + KEY_READERS_MS - performance.now();
    if (leftMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, leftMs);
  }

  keyIds(): number[] {
    return mapKeys(this.#fd('keys'), 4, Limit.KEYS).map((key) =>
      new DataView(key.buffer, key.byteOffset).getUint32(0, true),
    );
  }

  /** What the id stood for when it was first used with these pins. */
  keyFingerprint(id: number): Uint8Array | undefined {
    const value = new Uint8Array(keyFingerprintLayout.size);
    return mapLookup(this.#fd('key_history'), word(id), value) ? value : undefined;
  }

  rememberKey(id: number, fingerprint: Uint8Array): void {
    mapUpdate(this.#fd('key_history'), word(id), fingerprint);
  }

  forgetKey(id: number): void {
    mapDelete(this.#fd('key_history'), word(id));
  }

  /** The program answers on exactly these addresses from now on; none is missed on the way. */
  setAddresses(addresses: readonly Uint8Array[]): void {
    this.#setMembers('addresses', addressLayout.size, Limit.ADDRESSES, addresses);
  }

  /** Who may ask; empty = anyone. */
  setAllowed(networks: readonly Network[]): void {
    const keys = networks.map(({ bytes, prefixLength }) => {
      const key = new Uint8Array(networkLayout.size);
      key.set(word(prefixLength), networkLayout.offset.prefixLength);
      key.set(bytes, networkLayout.offset.bytes);
      return key;
    });
    if (networks.length === 0) this.settings.allowList = false;
    this.#setMembers('allowed_networks', networkLayout.size, Limit.ALLOWED_NETWORKS, keys);
    this.settings.allowList = networks.length > 0;
  }

  /** Adds before it removes, so that what is in both never fails to be there. */
  #setMembers(map: MapName, keySize: number, limit: number, members: readonly Uint8Array[]): void {
    const wanted = new Set(members.map((member) => Buffer.from(member).toString('hex')));
    const present = new Set(mapKeys(this.#fd(map), keySize, limit).map((key) => Buffer.from(key).toString('hex')));
    for (const member of wanted)
      if (!present.has(member)) mapUpdate(this.#fd(map), Buffer.from(member, 'hex'), word(1));
    for (const member of present) if (!wanted.has(member)) mapDelete(this.#fd(map), Buffer.from(member, 'hex'));
  }

  /** Packets by verdict since the maps were made, over all CPUs. */
  verdictCounts(): Record<VerdictName, number> {
    const value = new BigUint64Array((this.#cpus * verdictCountsLayout.size) / 8);
    mapLookup(this.#fd('verdict_counts'), word(0), new Uint8Array(value.buffer));
    const counts: Partial<Record<VerdictName, number>> = {};
    for (const [name, index] of Object.entries(Verdict) as [VerdictName, number][]) {
      if (index === Verdict.COUNT) continue;
      let sum = 0;
      for (let cpu = 0; cpu < this.#cpus; cpu++)
        sum += Number(value[(cpu * verdictCountsLayout.size) / 8 + index] ?? 0n);
      counts[name] = sum;
    }
    return counts as Record<VerdictName, number>;
  }

  /** Ends this process's part; what is pinned goes on. */
  close(): void {
    this.sweeper.stop();
    this.table.close();
    this.settings.close();
    this.#object.close();
    this.#pins.close();
  }
}

/**
 * Takes the program off every interface and removes the pins.
 * @returns names of the interfaces it was on
 * @throws PinsInUseError while a daemon runs
 */
export function detachAll(pinsPath: string): string[] {
  if (!fs.existsSync(pinsPath)) return [];
  const pins = new Pins(pinsPath);
  const links = new Links(pins, 'auto', { generic() {}, attached() {} });
  const names = pins.linked();
  for (const name of names) links.detach(name);
  pins.removeAll();
  pins.close();
  return names;
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
