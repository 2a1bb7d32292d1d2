/**
 * The session table in the kernel: the sync's port onto the maps. Changes are written straight into map
 * `changes` and made by the program apply_changes, a few thousand a system call.
 */
import {
  applyResultLayout,
  ChangeKind,
  changeLayout,
  deniedLayout,
  type Fact,
  factLayout,
  Limit,
  readDenied,
  readFact,
  readSession,
  type Session,
  sessionLayout,
  tableCountsLayout,
  Wire,
} from '../../abi.ts';
import type { Ring } from '../../auth/placement.ts';
import type { BackendRecord } from '../../auth/responder-tables.ts';
import {
  type Backend,
  type FlushCounts,
  noChanges,
  type Room,
  type SessionTable,
  type Version,
} from '../../sync/table.ts';
import { BackendHalves, type BackendHalvesDescriptors } from './backend-halves.ts';
import { ContextRunner, mapLookup } from './libbpf.ts';
import { SharedMemory } from './libc.ts';
import type { Settings } from './settings.ts';

const change = changeLayout.offset;
const result = applyResultLayout.offset;
/** Where `flush` counts what a run of apply_changes says. */
const COUNTED = [
  ['inserted', result.inserted],
  ['replaced', result.replaced],
  ['removed', result.deleted],
  ['skipped', result.skipped],
  ['refused', result.refused],
  ['denied', result.denied],
  ['allowed', result.allowed],
  ['deniedRefused', result.deniedRefused],
  ['facts', result.facts],
  ['factsRefused', result.factsRefused],
] as const satisfies readonly (readonly [keyof FlushCounts, number])[];

/** How the removal of one record, and of none that took its place, is written: the change, and what of the record goes into it. */
const COLLECTED = {
  session: {
    kind: ChangeKind.DELETE,
    fields: [
      { from: sessionLayout.offset.version, to: change.version, size: 8 },
      { from: sessionLayout.offset.generation, to: change.generation, size: 4 },
    ],
  },
  denied: {
    kind: ChangeKind.FORGET_DENIED,
    fields: [
      { from: deniedLayout.offset.untilMs, to: change.expiresMs, size: 8 },
      { from: deniedLayout.offset.generation, to: change.generation, size: 4 },
    ],
  },
  fact: {
    kind: ChangeKind.DELETE_FACT,
    fields: [{ from: factLayout.offset.generation, to: change.generation, size: 4 }],
  },
} as const;
export type Collected = keyof typeof COLLECTED;

export interface SessionTableDescriptors extends BackendHalvesDescriptors {
  sessions: number;
  denied: number;
  facts: number;
  changes: number;
  tableCounts: number;
  applyChanges: number;
}

export interface SessionTableParts extends SessionTableDescriptors {
  /** Most sessions held. */
  capacity: number;
}

export class KernelSessionTable implements SessionTable {
  readonly #settings: Settings;
  readonly #capacity: number;
  readonly #sessions: number;
  readonly #denied: number;
  readonly #facts: number;
  readonly #changesMemory: SharedMemory;
  readonly #changes: Buffer;
  readonly #countsMemory: SharedMemory;
  readonly #counts: BigUint64Array;
  readonly #backends: BackendHalves;
  readonly #context = new DataView(new ArrayBuffer(applyResultLayout.size));
  readonly #apply: ContextRunner;
  #queued = 0;
  #done = noChanges();
  #generation: number;
  #deniedGeneration: number;
  #factsGeneration: number;
  #commits = 0;
  #sweptCommits = 0;
  #fullAtCommit: ((of: Collected) => void) | undefined;
  /** How often all revocations, and all facts, were told anew, and up to which telling what was left behind is collected. */
  readonly #tellings = { denied: { ended: 0, swept: 0 }, fact: { ended: 0, swept: 0 } };

  constructor(settings: Settings, { capacity, ...descriptors }: SessionTableParts) {
    this.#settings = settings;
    this.#capacity = capacity;
    this.#generation = Math.max(settings.generation, settings.newestGeneration);
    this.#deniedGeneration = Math.max(settings.deniedGeneration, settings.newestDeniedGeneration);
    this.#factsGeneration = Math.max(settings.factsGeneration, settings.newestFactsGeneration);
    this.#sessions = descriptors.sessions;
    this.#denied = descriptors.denied;
    this.#facts = descriptors.facts;
    this.#changesMemory = new SharedMemory(descriptors.changes, Limit.CHANGES * changeLayout.size);
    this.#changes = Buffer.from(this.#changesMemory.buffer);
    this.#countsMemory = new SharedMemory(descriptors.tableCounts, tableCountsLayout.size);
    this.#counts = new BigUint64Array(this.#countsMemory.buffer);
    this.#backends = new BackendHalves(settings, descriptors);
    this.#apply = new ContextRunner(descriptors.applyChanges, this.#context.buffer);
  }

  put(hash: string, version: Version, expiresMs: number, backendId: number): void {
    this.#queue(ChangeKind.PUT, hash, version, expiresMs, backendId);
  }

  remove(hash: string, version: Version): void {
    this.#queue(ChangeKind.DELETE, hash, version, 0, 0);
  }

  deny(hash: string, untilMs: number): void {
    const at = this.#next(untilMs === 0 ? ChangeKind.ALLOW : ChangeKind.DENY, hash, this.#deniedGeneration);
    this.#writeMs(untilMs, at + change.expiresMs);
    this.#queued += 1;
  }

  putFact(nameHash: string, value: Uint8Array, version: Version): void {
    if (value.length > Wire.FACT_MAX) {
      throw new RangeError(`fact: found a value of ${value.length} bytes, allowed 0 to ${Wire.FACT_MAX}`);
    }
    const at = this.#next(ChangeKind.PUT_FACT, nameHash, this.#factsGeneration);
    this.#writeVersion(version, at + change.version);
    this.#changes.fill(0, at + change.value + value.length, at + change.value + Wire.FACT_MAX);
    this.#changes.set(value, at + change.value);
    this.#changes[at + change.length] = value.length;
    this.#queued += 1;
  }

  removeFact(nameHash: string): void {
    this.#next(ChangeKind.DELETE_FACT, nameHash, this.#factsGeneration);
    this.#queued += 1;
  }

  /**
   * Queues the removal of exactly this record: one written meanwhile stays.
   * @param key struct session_key
   * @param value of the struct that the map holds
   */
  collect(what: Collected, key: Uint8Array, value: Uint8Array): void {
    const { kind, fields } = COLLECTED[what];
    const at = this.#room();
    this.#changes.set(key, at + change.hash);
    for (const { from, to, size } of fields) this.#changes.set(value.subarray(from, from + size), at + to);
    this.#changes[at + change.kind] = kind;
    this.#queued += 1;
  }

  /** @returns where the next change is written; it counts as queued only once it is written as a whole */
  #room(): number {
    if (this.#queued === Limit.CHANGES) this.#run();
    return changeLayout.size * this.#queued;
  }

  #next(kind: ChangeKind, hash: string, generation: number): number {
    const at = this.#room();
    const memory = this.#changes;
    memory.write(hash, at + change.hash, 16, 'hex');
    memory.writeUInt32LE(generation, at + change.generation);
    memory[at + change.kind] = kind;
    return at;
  }

  #queue(kind: ChangeKind, hash: string, version: Version, expiresMs: number, backendId: number): void {
    const at = this.#next(kind, hash, this.#generation);
    this.#writeVersion(version, at + change.version);
    this.#writeMs(expiresMs, at + change.expiresMs);
    this.#changes.writeUInt16LE(backendId, at + change.backendId);
    this.#queued += 1;
  }

  /** Milliseconds x 2^20 + sequence number, in two halves. */
  #writeVersion(version: Version, at: number): void {
    this.#changes.writeUInt32LE((version.ms % 4096) * 2 ** 20 + version.seq, at);
    this.#changes.writeUInt32LE(Math.floor(version.ms / 4096), at + 4);
  }

  #writeMs(ms: number, at: number): void {
    this.#changes.writeUInt32LE(ms % 2 ** 32, at);
    this.#changes.writeUInt32LE(Math.floor(ms / 2 ** 32), at + 4);
  }

  #run(): void {
    if (this.#queued === 0) return;
    this.#context.setUint32(result.count, this.#queued, true);
    this.#queued = 0;
    this.#apply.run();
    for (const [name, at] of COUNTED) this.#done[name] += this.#context.getUint32(at, true);
  }

  flush(): FlushCounts {
    this.#run();
    const done = this.#done;
    this.#done = noChanges();
    return done;
  }

  beginGeneration(): void {
    this.#run();
    this.#generation += 1;
    this.#settings.newestGeneration = this.#generation;
  }

  commitGeneration(): void {
    this.#run();
    this.#settings.generation = this.#generation;
    this.#settings.ready = true;
    this.#commits += 1;
    if (this.room === 0) this.#fullAtCommit?.('session');
  }

  /** @param callback called where a generation comes into force in a full map: what it left behind takes others' places */
  onFullAtCommit(callback: (of: Collected) => void): void {
    this.#fullAtCommit = callback;
  }

  /** Generations that came into force. */
  get commits(): number {
    return this.#commits;
  }

  /** A walk that began when so many generations had come into force has collected every session that was dead then. */
  swept(commits: number): void {
    this.#sweptCommits = commits;
  }

  get hasGarbage(): boolean {
    return this.#sweptCommits < this.#commits;
  }

  beginDenied(): void {
    this.#run();
    this.#deniedGeneration += 1;
    this.#settings.newestDeniedGeneration = this.#deniedGeneration;
  }

  endDenied(): void {
    this.#run();
    this.#settings.deniedGeneration = this.#deniedGeneration;
    this.#tellings.denied.ended += 1;
    if (this.deniedRoom.free === 0) this.#fullAtCommit?.('denied');
  }

  beginFacts(): void {
    this.#run();
    this.#factsGeneration += 1;
    this.#settings.newestFactsGeneration = this.#factsGeneration;
  }

  endFacts(): void {
    this.#run();
    this.#settings.factsGeneration = this.#factsGeneration;
    this.#tellings.fact.ended += 1;
    if (this.factsRoom.free === 0) this.#fullAtCommit?.('fact');
  }

  tellings(of: 'denied' | 'fact'): number {
    return this.#tellings[of].ended;
  }

  /** A walk that began when there had been so many tellings has collected what those left behind. */
  sweptTellings(of: 'denied' | 'fact', ended: number): void {
    this.#tellings[of].swept = ended;
  }

  get deniedRoom(): Room {
    return this.#roomOf('denied', Limit.DENIED - this.deniedEntries);
  }

  get factsRoom(): Room {
    return this.#roomOf('fact', Limit.FACTS - this.factEntries);
  }

  #roomOf(of: 'denied' | 'fact', free: number): Room {
    const { ended, swept } = this.#tellings[of];
    return { free: Math.max(0, free), hasGarbage: swept < ended };
  }

  setBackends(backends: readonly Backend[]): void {
    this.#backends.set(backends);
  }

  markInStep(monotonicMs: number): void {
    this.#backends.markInStep(monotonicMs);
  }

  #count(field: keyof typeof tableCountsLayout.offset): number {
    return Number(this.#counts[tableCountsLayout.offset[field] / 8] ?? 0n);
  }

  /** Sessions held, expired ones that are not yet collected included. */
  get entries(): number {
    return this.#count('entries');
  }

  get room(): number {
    return Math.max(0, this.#capacity - this.entries);
  }

  /** Sessions that found the table full, since it was made. */
  get refused(): number {
    return this.#count('refused');
  }

  /** Revocations held, those that are over and not yet collected included. */
  get deniedEntries(): number {
    return this.#count('denied');
  }

  /** Revocations that found as many as the table takes, since it was made. */
  get deniedRefused(): number {
    return this.#count('deniedRefused');
  }

  get factEntries(): number {
    return this.#count('facts');
  }

  /** Facts that found as many as the table takes, since it was made. */
  get factsRefused(): number {
    return this.#count('factsRefused');
  }

  /** What the kernel holds for a cookie hash of 16 bytes, dead or alive. */
  find(hash: Uint8Array): Session | undefined {
    const value = new Uint8Array(new ArrayBuffer(sessionLayout.size));
    return mapLookup(this.#sessions, hash, value) ? readSession(new DataView(value.buffer)) : undefined;
  }

  /** Until when lookups of this session are answered with DENIED, in Unix ms, over or not; undefined = it is not revoked. */
  findDenied(hash: Uint8Array): number | undefined {
    const value = new DataView(new ArrayBuffer(deniedLayout.size));
    if (!mapLookup(this.#denied, hash, new Uint8Array(value.buffer))) return undefined;
    const { untilMs, generation } = readDenied(value);
    return generation >= this.#settings.deniedGeneration ? Number(untilMs) : undefined;
  }

  /** @param nameHash first 16 bytes of SHA-256(name) */
  findFact(nameHash: Uint8Array): Fact | undefined {
    const value = new DataView(new ArrayBuffer(factLayout.size));
    if (!mapLookup(this.#facts, nameHash, new Uint8Array(value.buffer))) return undefined;
    const fact = readFact(value);
    return fact.generation >= this.#settings.factsGeneration ? fact : undefined;
  }

  /** What is in force of a backend; undefined = there is no such id. */
  backend(id: number): BackendRecord | undefined {
    return this.#backends.backend(id);
  }

  /** The ring in force, of the same backends. */
  ring(): Ring {
    return this.#backends.ring();
  }

  close(): void {
    this.#backends.close();
    for (const memory of [this.#changesMemory, this.#countsMemory]) memory.close();
  }
}
