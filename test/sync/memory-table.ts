/**
 * The session table's port in memory, as the kernel keeps it (bpf/abi.h): what the tests compare with Redis.
 */
import {
  type Backend,
  type FlushCounts,
  noChanges,
  type Room,
  type SessionTable,
  type Version,
} from '../../src/sync/table.ts';

export interface HeldSession {
  readonly ms: number;
  readonly seq: number;
  readonly expiresMs: number;
  readonly backendId: number;
  readonly generation: number;
}

export interface HeldFact {
  readonly value: Uint8Array;
  readonly ms: number;
  readonly seq: number;
  readonly generation: number;
}

type Change =
  | { readonly hash: string; readonly kind: 'put' | 'remove'; readonly session: HeldSession }
  | { readonly hash: string; readonly kind: 'deny'; readonly untilMs: number; readonly generation: number }
  | { readonly hash: string; readonly kind: 'putFact' | 'removeFact'; readonly fact: HeldFact };

/** Changes that the queue takes before it flushes by itself; small, so that tests meet it. */
const QUEUE_MAX = 64;

/** Of a kind of which all are told anew: the telling that is in force, and the last one that was begun. */
interface Telling {
  current: number;
  storing: number;
}

/** How many the table takes; endless where left out. */
export interface Capacities {
  readonly sessions?: number;
  readonly denied?: number;
  readonly facts?: number;
}

export class MemoryTable implements SessionTable {
  readonly held = new Map<string, HeldSession>();
  backends: readonly Backend[] = [];
  ready = false;
  inStepMs: number | null = null;
  /** How often a generation was made current. */
  commits = 0;
  /** Called for each change as it takes effect. */
  onChange: ((hash: string) => void) | undefined;
  readonly #revocations = new Map<string, { readonly untilMs: number; readonly generation: number }>();
  readonly #facts = new Map<string, HeldFact>();
  readonly #capacity: Required<Capacities>;
  #current = 0;
  #storing = 0;
  readonly #deniedTelling: Telling = { current: 0, storing: 0 };
  readonly #factsTelling: Telling = { current: 0, storing: 0 };
  #queue: Change[] = [];
  #counts = noChanges();

  /** @param capacity of a number: how many sessions */
  constructor(capacity: number | Capacities = {}) {
    const { sessions, denied, facts } = typeof capacity === 'number' ? { sessions: capacity } : capacity;
    const endless = Number.POSITIVE_INFINITY;
    this.#capacity = { sessions: sessions ?? endless, denied: denied ?? endless, facts: facts ?? endless };
  }

  put(hash: string, version: Version, expiresMs: number, backendId: number): void {
    requireMs('expiresMs', expiresMs);
    const generation = this.#storing;
    this.#add({ kind: 'put', hash, session: { ...checked(version), expiresMs, backendId, generation } });
  }

  remove(hash: string, version: Version): void {
    const session = { ...checked(version), expiresMs: 0, backendId: 0, generation: this.#storing };
    this.#add({ kind: 'remove', hash, session });
  }

  deny(hash: string, untilMs: number): void {
    requireMs('untilMs', untilMs);
    this.#add({ kind: 'deny', hash, untilMs, generation: this.#deniedTelling.storing });
  }

  putFact(nameHash: string, value: Uint8Array, version: Version): void {
    if (value.length > 24) throw new RangeError(`value: found ${value.length} bytes`);
    const fact = { value: value.slice(), ...checked(version), generation: this.#factsTelling.storing };
    this.#add({ kind: 'putFact', hash: nameHash, fact });
  }

  removeFact(nameHash: string): void {
    const fact = { value: new Uint8Array(0), ms: 0, seq: 0, generation: this.#factsTelling.storing };
    this.#add({ kind: 'removeFact', hash: nameHash, fact });
  }

  #add(change: Change): void {
    if (!/^[0-9a-f]{32,}$/.test(change.hash)) throw new RangeError(`hash: found ${change.hash}`);
    if (this.#queue.length === QUEUE_MAX) this.#run();
    this.#queue.push({ ...change, hash: change.hash.slice(0, 32) });
  }

  #run(): void {
    for (const change of this.#queue) {
      if (change.kind === 'deny') this.#runDeny(change.hash, change.untilMs, change.generation);
      else if ('fact' in change) this.#runFact(change.kind, change.hash, change.fact);
      else this.#runSession(change.kind, change.hash, change.session);
      this.onChange?.(change.hash);
    }
    this.#queue = [];
  }

  #runSession(kind: 'put' | 'remove', hash: string, session: HeldSession): void {
    const held = this.held.get(hash);
    if ((held !== undefined && isNewer(held, session)) || (kind === 'remove' && held === undefined)) {
      this.#counts.skipped += 1;
    } else if (kind === 'remove') {
      this.held.delete(hash);
      this.#counts.removed += 1;
    } else if (held === undefined && this.held.size >= this.#capacity.sessions) this.#counts.refused += 1;
    else {
      this.held.set(hash, session);
      this.#counts[held === undefined ? 'inserted' : 'replaced'] += 1;
    }
  }

  #runDeny(hash: string, untilMs: number, generation: number): void {
    const held = this.#revocations.has(hash);
    if (untilMs === 0) this.#counts.allowed += this.#revocations.delete(hash) ? 1 : 0;
    else if (!held && this.#revocations.size >= this.#capacity.denied) this.#counts.deniedRefused += 1;
    else {
      this.#revocations.set(hash, { untilMs, generation });
      this.#counts.denied += 1;
    }
  }

  #runFact(kind: 'putFact' | 'removeFact', hash: string, fact: HeldFact): void {
    const held = this.#facts.get(hash);
    if (held !== undefined && held.generation > fact.generation) return;
    if (kind === 'removeFact') this.#counts.facts += this.#facts.delete(hash) ? 1 : 0;
    else if (held === undefined && this.#facts.size >= this.#capacity.facts) this.#counts.factsRefused += 1;
    else {
      this.#facts.set(hash, fact);
      this.#counts.facts += 1;
    }
  }

  flush(): FlushCounts {
    this.#run();
    const counts = this.#counts;
    this.#counts = noChanges();
    return counts;
  }

  get room(): number {
    return this.#capacity.sessions - this.held.size;
  }

  get hasGarbage(): boolean {
    return [...this.held.values()].some(({ generation }) => generation < this.#current);
  }

  get deniedRoom(): Room {
    const hasGarbage = [...this.#revocations.values()].some((one) => one.generation < this.#deniedTelling.current);
    return { free: this.#capacity.denied - this.#revocations.size, hasGarbage };
  }

  get factsRoom(): Room {
    const hasGarbage = [...this.#facts.values()].some((one) => one.generation < this.#factsTelling.current);
    return { free: this.#capacity.facts - this.#facts.size, hasGarbage };
  }

  beginGeneration(): void {
    this.#run();
    this.#storing += 1;
  }

  commitGeneration(): void {
    this.#run();
    this.#current = this.#storing;
    this.ready = true;
    this.commits += 1;
  }

  beginDenied(): void {
    this.#run();
    this.#deniedTelling.storing += 1;
  }

  endDenied(): void {
    this.#run();
    this.#deniedTelling.current = this.#deniedTelling.storing;
  }

  beginFacts(): void {
    this.#run();
    this.#factsTelling.storing += 1;
  }

  endFacts(): void {
    this.#run();
    this.#factsTelling.current = this.#factsTelling.storing;
  }

  setBackends(backends: readonly Backend[]): void {
    this.backends = backends;
  }

  markInStep(monotonicMs: number): void {
    if (!Number.isSafeInteger(monotonicMs)) throw new RangeError(`monotonicMs: found ${monotonicMs}`);
    this.inStepMs = monotonicMs;
  }

  /** What a lookup finds. @returns undefined where there is no live record */
  lookup(hash: string, nowMs = Date.now()): HeldSession | undefined {
    const held = this.held.get(hash.slice(0, 32));
    if (held === undefined || held.generation < this.#current) return undefined;
    return held.expiresMs !== 0 && held.expiresMs <= nowMs ? undefined : held;
  }

  /** All revocations in force: cookie hash → Unix ms. */
  denied(nowMs = Date.now()): Map<string, number> {
    const inForce = new Map<string, number>();
    for (const [hash, { untilMs, generation }] of this.#revocations) {
      if (generation >= this.#deniedTelling.current && untilMs > nowMs) inForce.set(hash, untilMs);
    }
    return inForce;
  }

  /** The fact of a name's hash. */
  fact(nameHash: string): HeldFact | undefined {
    const held = this.#facts.get(nameHash);
    return held !== undefined && held.generation >= this.#factsTelling.current ? held : undefined;
  }

  /** Hashes of the names of all facts. */
  factNames(): string[] {
    return [...this.#facts.keys()].filter((nameHash) => this.fact(nameHash) !== undefined);
  }

  /** Drops what no lookup finds any more, as the kernel's table does in the background. */
  collect(nowMs = Date.now()): void {
    for (const hash of this.held.keys()) if (this.lookup(hash, nowMs) === undefined) this.held.delete(hash);
    const denied = this.denied(nowMs);
    for (const hash of this.#revocations.keys()) if (!denied.has(hash)) this.#revocations.delete(hash);
    for (const nameHash of this.#facts.keys()) if (this.fact(nameHash) === undefined) this.#facts.delete(nameHash);
  }

  /** All that lookups find: cookie hash → `backend id until expiry`. */
  live(nowMs = Date.now()): Map<string, string> {
    const live = new Map<string, string>();
    for (const [hash, { backendId, expiresMs }] of this.held) {
      if (this.lookup(hash, nowMs) !== undefined && backendId !== 0) live.set(hash, `${backendId} until ${expiresMs}`);
    }
    return live;
  }
}

interface Stamp {
  readonly generation: number;
  readonly ms: number;
  readonly seq: number;
}

/** Generations first, then versions. */
function isNewer(held: Stamp, change: Stamp): boolean {
  if (held.generation !== change.generation) return held.generation > change.generation;
  return held.ms > change.ms || (held.ms === change.ms && held.seq > change.seq);
}

/** A copy, since the caller writes the same object again. */
function checked({ ms, seq }: Version): Version {
  if (!(ms >= 0 && ms < 2 ** 44 && seq >= 0 && seq < 2 ** 20)) throw new RangeError(`version: found ${ms}-${seq}`);
  return { ms, seq };
}

function requireMs(name: string, ms: number): void {
  if (!Number.isSafeInteger(ms) || ms < 0) throw new RangeError(`${name}: found ${ms}`);
}
