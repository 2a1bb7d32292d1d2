/**
 * The session table in the kernel: the sync's port onto the maps. Changes are written straight into map
 * `changes` and made by the program apply_changes, a few thousand a system call.
 */
import {
  applyResultLayout,
  backendLayout,
  ChangeKind,
  changeLayout,
  Limit,
  readSession,
  type Session,
  sessionLayout,
  tableCountsLayout,
} from '../../abi.ts';
import type { Backend, FlushCounts, SessionTable, Version } from '../../sync/table.ts';
import { ContextRunner, mapLookup } from './libbpf.ts';
import { SharedMemory } from './libc.ts';
import type { Settings } from './settings.ts';

const change = changeLayout.offset;
const result = applyResultLayout.offset;

/** Half of the backends' map is rewritten while packets read the other; none takes this long. */
const BACKENDS_GRACE_MS = 20;

export interface SessionTableDescriptors {
  sessions: number;
  changes: number;
  backends: number;
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
  readonly #changesMemory: SharedMemory;
  readonly #changes: Buffer;
  readonly #countsMemory: SharedMemory;
  readonly #counts: BigUint64Array;
  readonly #backendsMemory: SharedMemory;
  readonly #context = new DataView(new ArrayBuffer(applyResultLayout.size));
  readonly #apply: ContextRunner;
  #queued = 0;
  #done: FlushCounts = { inserted: 0, replaced: 0, removed: 0, skipped: 0, refused: 0 };
  #generation: number;
  #pendingBackends: readonly Backend[] | undefined;
  #backendsTimer: NodeJS.Timeout | undefined;

  constructor(settings: Settings, { capacity, ...descriptors }: SessionTableParts) {
    this.#settings = settings;
    this.#capacity = capacity;
    this.#generation = Math.max(settings.generation, settings.newestGeneration);
    this.#sessions = descriptors.sessions;
    this.#changesMemory = new SharedMemory(descriptors.changes, Limit.CHANGES * changeLayout.size);
    this.#changes = Buffer.from(this.#changesMemory.buffer);
    this.#countsMemory = new SharedMemory(descriptors.tableCounts, tableCountsLayout.size);
    this.#counts = new BigUint64Array(this.#countsMemory.buffer);
    this.#backendsMemory = new SharedMemory(descriptors.backends, 2 * Limit.BACKENDS * backendLayout.size);
    this.#apply = new ContextRunner(descriptors.applyChanges, this.#context.buffer);
  }

  put(hash: string, version: Version, expiresMs: number, backendId: number): void {
    this.#queue(hash, version, expiresMs, backendId, this.#generation, ChangeKind.PUT);
  }

  remove(hash: string, version: Version): void {
    this.#queue(hash, version, 0, 0, this.#generation, ChangeKind.DELETE);
  }

  /**
   * Queues the removal of exactly this record: one written meanwhile stays.
   * @param keys session_key at `key`; `values`: session at `value`
   */
  collect(keys: Uint8Array, key: number, values: Uint8Array, value: number): void {
    const at = this.#next();
    const { version, generation } = sessionLayout.offset;
    this.#changes.set(keys.subarray(key, key + 16), at + change.hash);
    this.#changes.set(values.subarray(value + version, value + version + 8), at + change.version);
    this.#changes.set(values.subarray(value + generation, value + generation + 4), at + change.generation);
    this.#changes.writeUInt32LE(ChangeKind.DELETE, at + change.kind);
  }

  #next(): number {
    if (this.#queued === Limit.CHANGES) this.#run();
    return changeLayout.size * this.#queued++;
  }

  #queue(
    hash: string,
    version: Version,
    expiresMs: number,
    backendId: number,
    generation: number,
    kind: ChangeKind,
  ): void {
    const at = this.#next();
    const memory = this.#changes;
    memory.write(hash, at + change.hash, 16, 'hex');
    // milliseconds x 2^20 + sequence number, in two halves
    memory.writeUInt32LE((version.ms % 4096) * 2 ** 20 + version.seq, at + change.version);
    memory.writeUInt32LE(Math.floor(version.ms / 4096), at + change.version + 4);
    memory.writeUInt32LE(expiresMs % 2 ** 32, at + change.expiresMs);
    memory.writeUInt32LE(Math.floor(expiresMs / 2 ** 32), at + change.expiresMs + 4);
    memory.writeUInt32LE(generation, at + change.generation);
    memory.writeUInt32LE(backendId, at + change.backendId);
    memory.writeUInt32LE(kind, at + change.kind);
  }

  #run(): void {
    if (this.#queued === 0) return;
    this.#context.setUint32(result.count, this.#queued, true);
    this.#queued = 0;
    this.#apply.run();
    this.#done.inserted += this.#context.getUint32(result.inserted, true);
    this.#done.replaced += this.#context.getUint32(result.replaced, true);
    this.#done.removed += this.#context.getUint32(result.deleted, true);
    this.#done.skipped += this.#context.getUint32(result.skipped, true);
    this.#done.refused += this.#context.getUint32(result.refused, true);
  }

  flush(): FlushCounts {
    this.#run();
    const done = this.#done;
    this.#done = { inserted: 0, replaced: 0, removed: 0, skipped: 0, refused: 0 };
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
  }

  setBackends(backends: readonly Backend[]): void {
    this.#pendingBackends = backends;
    if (this.#backendsTimer === undefined) this.#switchBackends();
  }

  #switchBackends(): void {
    const backends = this.#pendingBackends;
    this.#backendsTimer = undefined;
    if (backends === undefined) return;
    this.#pendingBackends = undefined;
    const half = this.#settings.backendsHalf === 0 ? 1 : 0;
    const bytes = Limit.BACKENDS * backendLayout.size;
    const memory = new DataView(this.#backendsMemory.buffer, half * bytes, bytes);
    const raw = new Uint8Array(memory.buffer, memory.byteOffset, bytes);
    raw.fill(0);
    for (const backend of backends) {
      const at = backend.id * backendLayout.size;
      raw.set(backend.address, at + backendLayout.offset.address);
      memory.setUint16(at + backendLayout.offset.port, backend.port);
      memory.setUint8(at + backendLayout.offset.known, 1);
    }
    this.#settings.backendsHalf = half;
    this.#backendsTimer = setTimeout(() => this.#switchBackends(), BACKENDS_GRACE_MS);
    this.#backendsTimer.unref();
  }

  markInStep(monotonicMs: number): void {
    this.#settings.inStepMs = monotonicMs;
  }

  /** Sessions held, expired ones that are not yet collected included. */
  get entries(): number {
    return Number(this.#counts[tableCountsLayout.offset.entries / 8] ?? 0n);
  }

  get room(): number {
    return Math.max(0, this.#capacity - this.entries);
  }

  /** Sessions that found the table full, since it was made. */
  get refused(): number {
    return Number(this.#counts[tableCountsLayout.offset.refused / 8] ?? 0n);
  }

  /** What the kernel holds for a cookie hash of 16 bytes, dead or alive. */
  find(hash: Uint8Array): Session | undefined {
    const value = new Uint8Array(new ArrayBuffer(sessionLayout.size));
    return mapLookup(this.#sessions, hash, value) ? readSession(new DataView(value.buffer)) : undefined;
  }

  close(): void {
    clearTimeout(this.#backendsTimer);
    for (const memory of [this.#changesMemory, this.#countsMemory, this.#backendsMemory]) memory.close();
  }
}
