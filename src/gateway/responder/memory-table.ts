/**
 * The session table in the daemon's own memory, for a gateway without XDP: the sync's port, as the kernel's maps are one
 * (../kernel/session-table.ts), and what the responder answers from. The rules are those of struct change in bpf/abi.h.
 * May be imported by src/gateway only.
 */
import { Limit, type Session, Wire } from '../../abi.ts';
import { buildRing, type Ring } from '../../auth/placement.ts';
import type { BackendRecord, FactRecord, ResponderSettings, SessionRecord } from '../../auth/responder-tables.ts';
import {
  type Backend,
  type FlushCounts,
  noChanges,
  type Room,
  type SessionTable,
  type Version,
} from '../../sync/table.ts';
import { SessionParts } from './session-parts.ts';
import type { HeldRecord } from './session-slots.ts';

/** What a map in the kernel would hold, changed in place. */
export type MemorySettings = { -readonly [Name in keyof ResponderSettings]: ResponderSettings[Name] };

interface HeldDenied {
  readonly untilMs: number;
  readonly generation: number;
}

interface HeldFact extends FactRecord {
  readonly generation: number;
}

/** All of one kind are told anew: the telling in force, the last one begun, and up to which one the garbage is collected. */
interface Telling {
  current: number;
  newest: number;
  swept: number;
}

export class MemoryTable implements SessionTable {
  readonly settings: MemorySettings;
  readonly #capacity: number;
  readonly #sessions: SessionParts;
  readonly #denied = new Map<string, HeldDenied>();
  readonly #facts = new Map<string, HeldFact>();
  readonly #deniedTelling: Telling = { current: 0, newest: 0, swept: 0 };
  readonly #factsTelling: Telling = { current: 0, newest: 0, swept: 0 };
  readonly #sessionsTelling: Telling = { current: 0, newest: 0, swept: 0 };
  readonly #hash = Buffer.alloc(16);
  #backends = new Map<number, BackendRecord>();
  #ring: Ring = buildRing([]);
  #counts = noChanges();
  #refused = 0;
  #fullAtCommit: (() => void) | undefined;

  constructor(settings: MemorySettings, capacity: number) {
    this.settings = settings;
    this.#capacity = capacity;
    this.#sessions = new SessionParts(capacity);
  }

  put(hash: string, version: Version, expiresMs: number, backendId: number): void {
    const held = this.#held(hash);
    if (held !== undefined && this.#isNewer(held, version)) this.#counts.skipped += 1;
    else if (!this.#sessions.put(this.#hash, { ...version, expiresMs, backendId, generation: this.#newest })) {
      this.#counts.refused += 1;
      this.#refused += 1;
    } else this.#counts[held === undefined ? 'inserted' : 'replaced'] += 1;
  }

  remove(hash: string, version: Version): void {
    const held = this.#held(hash);
    if (held === undefined || this.#isNewer(held, version)) {
      this.#counts.skipped += 1;
      return;
    }
    this.#sessions.remove(this.#hash);
    this.#counts.removed += 1;
  }

  #held(hash: string): HeldRecord | undefined {
    this.#hash.write(hash, 0, 16, 'hex');
    return this.#sessions.find(this.#hash);
  }

  get #newest(): number {
    return this.#sessionsTelling.newest;
  }

  /** Generations first, then versions. */
  #isNewer(held: HeldRecord, version: Version): boolean {
    if (held.generation !== this.#newest) return held.generation > this.#newest;
    return held.ms > version.ms || (held.ms === version.ms && held.seq > version.seq);
  }

  deny(hash: string, untilMs: number): void {
    const key = hash.slice(0, 32);
    if (untilMs === 0) {
      if (this.#denied.delete(key)) this.#counts.allowed += 1;
    } else if (!this.#denied.has(key) && this.#denied.size >= Limit.DENIED) this.#counts.deniedRefused += 1;
    else {
      this.#denied.set(key, { untilMs, generation: this.#deniedTelling.newest });
      this.#counts.denied += 1;
    }
  }

  putFact(nameHash: string, value: Uint8Array, version: Version): void {
    if (value.length > Wire.FACT_MAX) {
      throw new RangeError(`fact: found a value of ${value.length} bytes, allowed 0 to ${Wire.FACT_MAX}`);
    }
    const key = nameHash.slice(0, 32);
    if (!this.#facts.has(key) && this.#facts.size >= Limit.FACTS) {
      this.#counts.factsRefused += 1;
      return;
    }
    const { newest: generation } = this.#factsTelling;
    this.#facts.set(key, { value: value.slice(), version: versionNumber(version.ms, version.seq), generation });
    this.#counts.facts += 1;
  }

  removeFact(nameHash: string): void {
    if (this.#facts.delete(nameHash.slice(0, 32))) this.#counts.facts += 1;
  }

  /** Every change has taken effect when it was told. */
  flush(): FlushCounts {
    const counts = this.#counts;
    this.#counts = noChanges();
    return counts;
  }

  get room(): number {
    return Math.max(0, this.#capacity - this.#sessions.size);
  }

  get hasGarbage(): boolean {
    return isUnswept(this.#sessionsTelling);
  }

  get deniedRoom(): Room {
    return { free: Limit.DENIED - this.#denied.size, hasGarbage: isUnswept(this.#deniedTelling) };
  }

  get factsRoom(): Room {
    return { free: Limit.FACTS - this.#facts.size, hasGarbage: isUnswept(this.#factsTelling) };
  }

  beginGeneration(): void {
    this.#sessionsTelling.newest += 1;
  }

  commitGeneration(): void {
    end(this.#sessionsTelling);
    this.settings.generation = this.#sessionsTelling.current;
    this.settings.ready = true;
    if (this.room === 0) this.#fullAtCommit?.();
  }

  beginDenied(): void {
    this.#deniedTelling.newest += 1;
  }

  endDenied(): void {
    end(this.#deniedTelling);
    if (this.deniedRoom.free === 0) this.#fullAtCommit?.();
  }

  beginFacts(): void {
    this.#factsTelling.newest += 1;
  }

  endFacts(): void {
    end(this.#factsTelling);
    if (this.factsRoom.free === 0) this.#fullAtCommit?.();
  }

  /** @param callback called where what was told anew fills a table: what it left behind takes others' places */
  onFullAtCommit(callback: () => void): void {
    this.#fullAtCommit = callback;
  }

  setBackends(backends: readonly Backend[]): void {
    const placed = backends.map((backend) => ({ ...backend, active: backend.state === 'active' }));
    this.#ring = buildRing(placed);
    this.#backends = new Map(
      placed.map(({ id, address, port, active, shed }) => [id, { address, port, active, shed, known: true }]),
    );
  }

  markInStep(monotonicMs: number): void {
    this.settings.inStepMs = Math.round(monotonicMs);
  }

  /** Sessions held, expired ones that are not yet collected included. */
  get entries(): number {
    return this.#sessions.size;
  }

  /** Sessions that found the table full. */
  get refused(): number {
    return this.#refused;
  }

  /** What is held for a cookie hash of 16 bytes, dead or alive, as the kernel would hold it. */
  find(hash: Uint8Array): Session | undefined {
    const held = this.#sessions.find(hash);
    if (held === undefined) return undefined;
    const { ms, seq, expiresMs, generation, backendId } = held;
    const version = versionNumber(ms, seq);
    return { version, expiresMs: BigInt(expiresMs), generation, backendId, flags: 0, check: 0n };
  }

  session(hash: Uint8Array): SessionRecord | undefined {
    const held = this.#sessions.find(hash);
    if (held === undefined) return undefined;
    const { ms, seq, expiresMs, generation, backendId } = held;
    return { version: versionNumber(ms, seq), expiresMs, generation, backendId };
  }

  backend(id: number): BackendRecord | undefined {
    return this.#backends.get(id);
  }

  ring(): Ring {
    return this.#ring;
  }

  denied(hash: Uint8Array): number {
    if (this.#denied.size === 0) return 0;
    const held = this.#denied.get(Buffer.from(hash).toString('hex'));
    return held !== undefined && held.generation >= this.#deniedTelling.current ? held.untilMs : 0;
  }

  fact(hash: Uint8Array): FactRecord | undefined {
    const held = this.#facts.get(Buffer.from(hash).toString('hex'));
    return held !== undefined && held.generation >= this.#factsTelling.current ? held : undefined;
  }

  /**
   * Collects what is dead in a part of the sessions.
   * @param alive told the backend's id of each of the others
   * @returns how many were collected
   */
  collectSessions(part: number, nowMs: number, alive: (backendId: number) => void): number {
    const { current } = this.#sessionsTelling;
    return this.#sessions.collect(part, ({ expiresMs, generation, backendId }) => {
      const isDead = generation < current || (expiresMs !== 0 && expiresMs <= nowMs);
      if (!isDead) alive(backendId);
      return isDead;
    });
  }

  /** Collects the revocations that are over and the facts that were not told again. */
  collectOthers(nowMs: number): void {
    for (const [key, { untilMs, generation }] of this.#denied) {
      if (untilMs <= nowMs || generation < this.#deniedTelling.current) this.#denied.delete(key);
    }
    for (const [key, { generation }] of this.#facts) {
      if (generation < this.#factsTelling.current) this.#facts.delete(key);
    }
    this.#deniedTelling.swept = this.#deniedTelling.current;
    this.#factsTelling.swept = this.#factsTelling.current;
  }

  /** Parts of the sessions, which a walk goes through one by one. */
  get parts(): number {
    return this.#sessions.count;
  }

  slotsOf(part: number): number {
    return this.#sessions.slotsOf(part);
  }

  /** The generation in force. A walk that began with it has collected all of the ones before: `swept`. */
  get generation(): number {
    return this.#sessionsTelling.current;
  }

  swept(generation: number): void {
    this.#sessionsTelling.swept = generation;
  }
}

function end(telling: Telling): void {
  telling.current = telling.newest;
}

function isUnswept({ current, swept }: Telling): boolean {
  return swept < current;
}

function versionNumber(ms: number, seq: number): bigint {
  return BigInt(ms) * 2n ** 20n + BigInt(seq);
}
