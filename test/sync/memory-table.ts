/**
 * The session table's port in memory, as the kernel keeps it (bpf/abi.h): what the tests compare with Redis.
 */
import type { Backend, FlushCounts, SessionTable, Version } from '../../src/sync/table.ts';

export interface HeldSession {
  readonly ms: number;
  readonly seq: number;
  readonly expiresMs: number;
  readonly backendId: number;
  readonly generation: number;
}

interface Change {
  readonly hash: string;
  readonly session: HeldSession;
  readonly kind: 'put' | 'remove';
}

/** Changes that the queue takes before it flushes by itself; small, so that tests meet it. */
const QUEUE_MAX = 64;

const nothing = (): FlushCounts => ({ inserted: 0, replaced: 0, removed: 0, skipped: 0, refused: 0 });

export class MemoryTable implements SessionTable {
  readonly held = new Map<string, HeldSession>();
  backends: readonly Backend[] = [];
  ready = false;
  inStepMs: number | null = null;
  /** How often a generation was made current. */
  commits = 0;
  /** Called for each change as it takes effect. */
  onChange: ((hash: string) => void) | undefined;
  readonly #capacity: number;
  #current = 0;
  #storing = 0;
  #queue: Change[] = [];
  #counts = nothing();

  constructor(capacity = Number.POSITIVE_INFINITY) {
    this.#capacity = capacity;
  }

  put(hash: string, version: Version, expiresMs: number, backendId: number): void {
    if (!Number.isSafeInteger(expiresMs) || expiresMs < 0) throw new RangeError(`expiresMs: found ${expiresMs}`);
    this.#add('put', hash, version, expiresMs, backendId);
  }

  remove(hash: string, version: Version): void {
    this.#add('remove', hash, version, 0, 0);
  }

  #add(kind: Change['kind'], hash: string, version: Version, expiresMs: number, backendId: number): void {
    const { ms, seq } = version;
    if (!/^[0-9a-f]{32,}$/.test(hash)) throw new RangeError(`hash: found ${hash}`);
    if (!(ms >= 0 && ms < 2 ** 44 && seq >= 0 && seq < 2 ** 20)) throw new RangeError(`version: found ${ms}-${seq}`);
    if (this.#queue.length === QUEUE_MAX) this.#run();
    const session = { ms, seq, expiresMs, backendId, generation: this.#storing };
    this.#queue.push({ kind, hash: hash.slice(0, 32), session });
  }

  #run(): void {
    for (const { kind, hash, session } of this.#queue) {
      const held = this.held.get(hash);
      const sameGeneration = held !== undefined && held.generation === session.generation;
      const older = sameGeneration && (session.ms < held.ms || (session.ms === held.ms && session.seq < held.seq));
      if (older || (kind === 'remove' && held === undefined)) this.#counts.skipped += 1;
      else if (kind === 'remove') {
        this.held.delete(hash);
        this.#counts.removed += 1;
      } else if (held === undefined && this.held.size >= this.#capacity) this.#counts.refused += 1;
      else {
        this.held.set(hash, session);
        this.#counts[held === undefined ? 'inserted' : 'replaced'] += 1;
      }
      this.onChange?.(hash);
    }
    this.#queue = [];
  }

  flush(): FlushCounts {
    this.#run();
    const counts = this.#counts;
    this.#counts = nothing();
    return counts;
  }

  get room(): number {
    return this.#capacity - this.held.size;
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

  /** Drops what no lookup finds any more, as the kernel's table does in the background. */
  collect(nowMs = Date.now()): void {
    for (const hash of this.held.keys()) if (this.lookup(hash, nowMs) === undefined) this.held.delete(hash);
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
