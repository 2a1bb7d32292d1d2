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
import type { Network } from '../responder/allow-list.ts';
import type { AnswerTables } from '../responder/responder.ts';
import type { RequestRules, ServingSide } from '../serving-side.ts';
import { DaemonAnswers } from './daemon-answers.ts';
import { EarlierShared } from './earlier-shared.ts';
import { HandUp } from './hand-up.ts';
import { type Latencies, readLatencies } from './latencies.ts';
import { BpfObject, mapDelete, mapKeys, mapLookup, mapUpdate, pin, possibleCpus } from './libbpf.ts';
import { AttachError, type AttachEvents, type AttachedInterface, type AttachRequest, indexOf, Links } from './links.ts';
import { adoptMaps } from './map-adoption.ts';
import { mapTables } from './map-tables.ts';
import { Pins } from './pins.ts';
import { KernelSessionTable } from './session-table.ts';
import { Settings, TIMED_ONE_IN } from './settings.ts';
import { Sweeper } from './sweeper.ts';
import { Trace } from './trace.ts';
import { WallClock } from './wall-clock.ts';

/** Maps that programs of different layouts use together, while one is in the place of the other. */
const SHARED_MAPS = ['wall_clock', 'keys', 'key_history', 'addresses'] as const;

/** Every other map that is pinned. */
const OWN_MAPS = [
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
  'daemon_answers',
  'changes',
  'table_counts',
  'verdict_counts',
  'latencies',
  'key_uses',
  'skew_budget',
] as const;
/** Maps that go with the program. */
type UnpinnedMap = 'trace_control' | 'trace_ring';
type MapName = (typeof SHARED_MAPS)[number] | (typeof OWN_MAPS)[number] | UnpinnedMap;

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
  events: DatapathEvents;
}

export interface DatapathEvents extends AttachEvents {
  /** Pinned maps are not what their directory's name says; they are left to what uses them, and made anew. */
  putAside(directory: string, problem: string): void;
}

/** An interface that the program is not on. */
export interface Away {
  readonly name: string;
  readonly reason: string;
}

export type VerdictName = Exclude<keyof typeof Verdict, 'COUNT'>;

export class Datapath implements ServingSide {
  readonly settings: Settings;
  readonly wallClock: WallClock;
  readonly table: KernelSessionTable;
  readonly sweeper: Sweeper;
  /** What the responder answers from. */
  readonly tables: AnswerTables;
  readonly trace: Trace;
  readonly capacity: number;
  /** Whether the maps, and what they hold, are an earlier daemon's. */
  readonly adopted: boolean;
  readonly #pins: Pins;
  readonly #object: BpfObject;
  readonly #links: Links;
  readonly #program: number;
  readonly #cpus = possibleCpus();
  readonly #handUp: HandUp;
  readonly #answers: DaemonAnswers;
  readonly #earlier: EarlierShared;
  /** Directories of maps that this process has made. */
  readonly #made: string[] = [];
  #keyFreedMs = Number.NEGATIVE_INFINITY;
  /** Interfaces that an earlier program of another layout goes on serving until `takeOver`. */
  readonly #waiting = new Set<string>();

  /**
   * Changes nothing of what is pinned already.
   * @throws NoBpffsError, PinsInUseError; BpfError when the kernel refuses the program or the memory
   */
  constructor(options: DatapathOptions) {
    this.capacity = options.capacity;
    this.#pins = new Pins(options.pins);
    this.#links = new Links(this.#pins, options.attach, options.events);
    this.#object = new BpfObject(options.object);
    for (const map of ['sessions', 'session_copies']) this.#object.setMaxEntries(map, options.capacity);
    const { shared } = this.#pins;
    const own = this.#pins.maps(options.capacity);
    const adopt = (directory: string, names: readonly MapName[]): boolean => {
      if (!fs.existsSync(directory)) return false;
      const problem = adoptMaps(this.#object, directory, names);
      if (problem === undefined) return true;
      options.events.putAside(directory, problem);
      this.#pins.putAside(directory);
      return false;
    };
    const sharedAdopted = adopt(shared, SHARED_MAPS);
    this.adopted = adopt(own, OWN_MAPS);
    this.#object.load('gateway');
    this.#program = this.#object.programFd('gateway');
    if (!sharedAdopted) this.#pinMaps(shared, SHARED_MAPS);
    if (!this.adopted) this.#pinMaps(own, OWN_MAPS);
    this.settings = new Settings(this.#fd('settings'));
    this.settings.copyLines = options.capacity;
    this.wallClock = new WallClock(this.#fd('wall_clock'));
    this.#handUp = new HandUp(this.#object.mapFd('responder'));
    this.#answers = new DaemonAnswers(this.#fd('daemon_answers'));
    this.#earlier = new EarlierShared(this.#pins.otherMaps(options.capacity));
    this.#earlier.copyKeyHistory(this.#fd('key_history'));
    this.table = new KernelSessionTable(this.settings, {
      capacity: options.capacity,
      sessions: this.#fd('sessions'),
      denied: this.#fd('denied'),
      facts: this.#fd('facts'),
      changes: this.#fd('changes'),
      backends: this.#fd('backends'),
      ring: this.#fd('ring'),
      tableCounts: this.#fd('table_counts'),
      applyChanges: this.#object.programFd('apply_changes'),
    });
    this.tables = mapTables(this.settings, this.wallClock, this.table, this.#answers);
    this.trace = new Trace(this.#fd('trace_control'), this.#fd('trace_ring'));
    this.sweeper = new Sweeper(
      { sessions: this.#fd('sessions'), denied: this.#fd('denied'), facts: this.#fd('facts') },
      this.table,
      this.settings,
    );
  }

  /** Descriptor of the XDP program, to run it on packets without an interface. */
  get programDescriptor(): number {
    return this.#program;
  }

  #fd(name: MapName): number {
    return this.#object.mapFd(name);
  }

  #pinMaps(directory: string, names: readonly MapName[]): void {
    this.#pins.publish(directory, (unfinished) => {
      for (const name of names) pin(this.#fd(name), join(unfinished, name));
    });
    this.#made.push(directory);
  }

  /**
   * Puts the program on these interfaces, and takes it off all others. Where an earlier program still
   * answers and these maps are yet to be filled, that one stays until `takeOver`.
   * @param configure writes keys, addresses and settings: called when the program is on every interface that had none,
   *   before it takes the place of one that answers
   * @throws AttachError, and what `configure` throws; the program is on no more interfaces than before then
   */
  attach(interfaces: readonly string[], configure: () => void = () => undefined): void {
    for (const name of interfaces) indexOf(name);
    this.#links.tidy();
    const fresh: string[] = [];
    try {
      for (const name of interfaces) {
        if (this.#links.isAttached(name)) continue;
        this.#links.attach(name, this.#program);
        fresh.push(name);
      }
      configure();
      for (const name of interfaces) {
        if (fresh.includes(name)) continue;
        if (this.settings.ready) this.#links.attach(name, this.#program);
        else this.#waiting.add(name);
      }
    } catch (error) {
      for (const name of fresh) this.#links.detach(name);
      throw error;
    }
    this.#links.detachAllBut(interfaces);
  }

  /**
   * To be called when the first load is in: the program replaces an earlier one, whose maps are removed once no interface
   * has it. May be called again after a failure.
   * @throws AttachError for the interfaces where it could not; it has replaced the earlier one on all others
   */
  takeOver(): void {
    const problems: string[] = [];
    for (const name of this.#waiting) {
      try {
        // One that is away is attached to when it is back.
        if (this.#links.isAttached(name)) this.#links.attach(name, this.#program);
        this.#waiting.delete(name);
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (problems.length > 0) throw new AttachError(problems.join('; '));
    if (!this.#links.areAll(this.#program)) throw new AttachError('an earlier program is still on an interface');
    this.#earlier.close();
    for (const directory of this.#pins.otherMaps(this.capacity)) this.#pins.removeMaps(directory);
  }

  interfaces(names: readonly string[]): AttachedInterface[] {
    return names.map((name) => this.#links.state(name));
  }

  /** Attaches again where an interface has gone and come back: `back`. What the program is not on is `away`. */
  reattach(names: readonly string[]): { back: string[]; away: Away[] } {
    const back: string[] = [];
    const away: Away[] = [];
    this.#links.tidy();
    for (const name of names) {
      if (this.#links.isAttached(name)) continue;
      try {
        this.#links.attach(name, this.#program);
        this.#waiting.delete(name);
        back.push(name);
      } catch (error) {
        away.push({ name, reason: error instanceof Error ? error.message : String(error) });
      }
    }
    return { back, away };
  }

  /** Misses are handed up to this process for a second from then on; 0 = no longer. @param monotonicMs now, whole milliseconds */
  sayThatMissesAreAsked(monotonicMs: number): void {
    this.#handUp.aliveMs = monotonicMs;
  }

  /** Unix time less the monotonic clock, ms, for this program and for an earlier one that still answers. */
  setClockOffset(ms: number): void {
    this.wallClock.offsetMs = ms;
    this.#earlier.setClockOffset(ms);
  }

  /** To be called when the keys have changed: ids that are not in force stop working for an earlier program too. */
  withdrawKeys(): void {
    this.#earlier.keepKeys(new Set(this.keyIds()));
  }

  /** The key in force under an id. */
  key(id: number): Key | undefined {
    const value = new DataView(new ArrayBuffer(keyLayout.size));
    return mapLookup(this.#fd('keys'), word(id), new Uint8Array(value.buffer)) ? readKey(value) : undefined;
  }

  putKey(id: number, key: Key): void {
    this.#waitForReaders();
    const value = new DataView(new ArrayBuffer(keyLayout.size));
    writeKey(value, 0, { ...key, usesAt: this.#usesAt(id) ?? this.#freeUsesAt() });
    mapUpdate(this.#fd('keys'), word(id), new Uint8Array(value.buffer));
    new Uint8Array(value.buffer).fill(0); // it holds what the secret is made into
    this.#keyFreedMs = performance.now();
  }

  /** Where a key's requests are counted. */
  #usesAt(id: number): number | undefined {
    const value = new DataView(new ArrayBuffer(keyLayout.size));
    if (!mapLookup(this.#fd('keys'), word(id), new Uint8Array(value.buffer))) return undefined;
    const at = value.getUint32(keyLayout.offset.usesAt, true);
    new Uint8Array(value.buffer).fill(0); // it holds what the secret is made into
    return at;
  }

  /** The first place that no key has, counted from 0 again. */
  #freeUsesAt(): number {
    const taken = new Set(this.keyIds().map((id) => this.#usesAt(id)));
    let at = 0;
    while (taken.has(at)) at++;
    mapUpdate(this.#fd('key_uses'), word(at), new Uint8Array(8 * this.#cpus));
    return at;
  }

  /** Authentic requests that were signed with a key that is in force, since it was put there or the maps were made, over all CPUs. */
  keyUses(id: number): number {
    const at = this.#usesAt(id);
    if (at === undefined) return 0;
    const value = new BigUint64Array(this.#cpus);
    mapLookup(this.#fd('key_uses'), word(at), new Uint8Array(value.buffer));
    return value.reduce((sum, count) => sum + Number(count), 0);
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

  /** Writes what the program goes by, of which none depends on another. */
  configure({ allowed, port, maxSkewMs, staleAfterMs, skewBudget }: RequestRules): void {
    this.setAllowed(allowed);
    this.settings.maxSkewMs = maxSkewMs;
    this.settings.staleAfterMs = staleAfterMs;
    this.settings.skewBudget = skewBudget;
    this.settings.timedOneIn = TIMED_ONE_IN;
    this.settings.port = port;
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

  /** Adds before it removes where there is room for both, so that what is in both never fails to be there. */
  #setMembers(map: MapName, keySize: number, limit: number, members: readonly Uint8Array[]): void {
    const fd = this.#fd(map);
    const wanted = new Set(members.map((member) => Buffer.from(member).toString('hex')));
    const present = new Set(mapKeys(fd, keySize, limit).map((key) => Buffer.from(key).toString('hex')));
    const added = [...wanted].filter((member) => !present.has(member));
    const add = () => {
      for (const member of added) mapUpdate(fd, Buffer.from(member, 'hex'), word(1));
    };
    const remove = () => {
      for (const member of present) if (!wanted.has(member)) mapDelete(fd, Buffer.from(member, 'hex'));
    };
    for (const step of present.size + added.length <= limit ? [add, remove] : [remove, add]) step();
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

  /** How long timed packets took since the maps were made, over all CPUs. */
  latencies(): Latencies {
    return readLatencies(this.#fd('latencies'), this.#cpus);
  }

  /** How often each of these backends was named in an answer since the maps were made, over all CPUs and by the daemon. */
  backendAnswers(ids: readonly number[]): number[] {
    const value = new BigUint64Array(this.#cpus);
    return ids.map((id) => {
      mapLookup(this.#fd('backend_answers'), word(id), new Uint8Array(value.buffer));
      return value.reduce((sum, count) => sum + Number(count), this.#answers.of(id));
    });
  }

  /** Ends a start that failed: the maps that it made, of which none is in use, take memory. */
  abandon(): void {
    for (const directory of this.#made) this.#pins.removeMaps(directory);
    this.close();
  }

  /** Ends this process's part; what is pinned goes on. */
  close(): void {
    this.sweeper.stop();
    this.trace.close();
    this.table.close();
    this.settings.close();
    this.wallClock.close();
    this.#handUp.close();
    this.#answers.close();
    this.#earlier.close();
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
  try {
    const names = new Links(pins, 'auto', { generic() {}, attached() {}, kept() {} }).detachAllBut([]);
    pins.removeAll();
    return names;
  } finally {
    pins.close();
  }
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
