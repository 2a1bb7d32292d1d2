/**
 * Collects what is dead in the maps of sessions, revocations and facts: expired, or of an older generation. A walk goes
 * through them in batches with pauses between, since the kernel holds a bucket's lock and this thread runs the
 * feed too. Answers don't depend on it: the program takes a dead record for none.
 */
import { deniedLayout, factLayout, Limit, sessionKeyLayout, sessionLayout } from '../../abi.ts';
import { mapLookupBatch } from './libbpf.ts';
import type { Collected, KernelSessionTable } from './session-table.ts';
import type { Settings } from './settings.ts';

const BATCH = Limit.CHANGES;
/** Where fields are, counted in words of 4 bytes: one BigInt an element would cost more than the walk itself. */
const SESSION = {
  words: sessionLayout.size / 4,
  expires: sessionLayout.offset.expiresMs / 4,
  generation: sessionLayout.offset.generation / 4,
  backend: Math.floor(sessionLayout.offset.backendId / 4),
} as const;
const DENIED = {
  words: deniedLayout.size / 4,
  until: deniedLayout.offset.untilMs / 4,
  generation: deniedLayout.offset.generation / 4,
} as const;
const FACT = { words: factLayout.size / 4, generation: factLayout.offset.generation / 4 } as const;
/** An id has 16 bits, in whichever half of its word. */
const BACKEND_SHIFT = (sessionLayout.offset.backendId % 4) * 8;
const BACKEND_IDS = 2 ** 16;
/** From the start of one walk to that of the next, at least. */
const WALK_MIN_MS = 5_000;
const PAUSE_MIN_MS = 25;
/** A clock that is put right by less takes nothing away that matters. */
const CLOCK_BACK_MS = 100;
/** Times what a step took: a walk over a large table takes about 2 % of a core. */
const PAUSE_FACTOR = 50;

export interface SweepCounts {
  walks: number;
  /** Sessions. */
  collected: number;
}

export interface SweptMaps {
  readonly sessions: number;
  readonly denied: number;
  readonly facts: number;
}

/** A walk through one map, a batch at a time. */
class MapWalk {
  readonly words: number;
  readonly values: Uint32Array;
  readonly #fd: number;
  readonly #cursor = new Uint8Array(4);
  readonly #keys = new Uint8Array(BATCH * sessionKeyLayout.size);
  readonly #valueBytes: Uint8Array;
  #first = true;

  constructor(fd: number, words: number) {
    this.#fd = fd;
    this.words = words;
    this.values = new Uint32Array(BATCH * words);
    this.#valueBytes = new Uint8Array(this.values.buffer);
  }

  /** Reads the next elements; after the last ones the walk begins anew. */
  next(): { count: number; end: boolean } {
    const read = mapLookupBatch(this.#fd, this.#cursor, this.#first, this.#keys, this.#valueBytes, BATCH);
    this.#first = read.end;
    return read;
  }

  restart(): void {
    this.#first = true;
  }

  get atStart(): boolean {
    return this.#first;
  }

  keyOf(i: number): Uint8Array {
    return this.#keys.subarray(i * sessionKeyLayout.size, (i + 1) * sessionKeyLayout.size);
  }

  valueOf(i: number): Uint8Array {
    return this.#valueBytes.subarray(i * this.words * 4, (i + 1) * this.words * 4);
  }
}

export class Sweeper {
  readonly #walks: Readonly<Record<Collected, MapWalk>>;
  readonly #table: KernelSessionTable;
  readonly #settings: Settings;
  /** The map that the walk is in. */
  #at: Collected = 'session';
  /** Generations that had come into force when the walk began. */
  #commitsAtFirst = 0;
  /** Tellings that had come to their end then. */
  readonly #tellingsAtFirst = { denied: 0, fact: 0 };
  /** Sessions may have been refused for want of the places that this walk frees: it takes half of a core. */
  #urgent = false;
  #timer: NodeJS.Timeout | undefined;
  /** Live sessions by backend id: of the walk under way, and of the last whole one. */
  #counting = new Uint32Array(BACKEND_IDS);
  #counted: Uint32Array<ArrayBuffer> | undefined;
  readonly counts: SweepCounts = { walks: 0, collected: 0 };

  constructor(maps: SweptMaps, table: KernelSessionTable, settings: Settings) {
    this.#walks = {
      session: new MapWalk(maps.sessions, SESSION.words),
      denied: new MapWalk(maps.denied, DENIED.words),
      fact: new MapWalk(maps.facts, FACT.words),
    };
    this.#table = table;
    this.#settings = settings;
  }

  /** Sessions stored on each backend, by its id, as the last whole walk found them; undefined before one. */
  get backendSessions(): Uint32Array | undefined {
    return this.#counted;
  }

  /**
   * @param now Unix time in ms
   * @param clockWentBack called where the time is earlier than at the last step: what was collected as expired may not be
   */
  start(now: () => number, clockWentBack: () => void): void {
    let walkStartedMs = performance.now();
    let latestMs = 0;
    const tick = (): void => {
      const startedMs = performance.now();
      const nowMs = now();
      if (nowMs < latestMs - CLOCK_BACK_MS) clockWentBack();
      latestMs = nowMs;
      const end = this.step(nowMs);
      const endedMs = performance.now();
      if (!this.#hasGarbage) this.#urgent = false;
      let pauseMs = Math.max(PAUSE_MIN_MS, PAUSE_FACTOR * (endedMs - startedMs));
      if (this.#urgent) {
        pauseMs = endedMs - startedMs;
      } else if (end && !this.#hasGarbage) {
        pauseMs = Math.max(pauseMs, walkStartedMs + WALK_MIN_MS - endedMs);
        walkStartedMs = endedMs + pauseMs;
      }
      this.#timer = setTimeout(tick, pauseMs);
    };
    this.#timer = setTimeout(tick, PAUSE_MIN_MS);
    this.#table.onFullAtCommit((of) => {
      this.#urgent = true;
      this.#restart(of);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(tick, 0);
    });
  }

  /** Goes on with this map, from its beginning. A walk through the sessions that is left for it is taken up again where it was. */
  #restart(of: Collected): void {
    this.#at = of;
    this.#walks[of].restart();
    if (of === 'session') this.#counting.fill(0);
  }

  get #hasGarbage(): boolean {
    const { hasGarbage, deniedRoom, factsRoom } = this.#table;
    return hasGarbage || deniedRoom.hasGarbage || factsRoom.hasGarbage;
  }

  stop(): void {
    this.#table.onFullAtCommit(() => undefined);
    clearTimeout(this.#timer);
  }

  /** Looks at the next few thousand elements; true when the walk has reached the last map's end. */
  step(nowMs: number): boolean {
    switch (this.#at) {
      case 'session':
        if (!this.#stepSessions(nowMs)) return false;
        this.#at = 'denied';
        break;
      case 'denied':
        if (!this.#stepDenied(nowMs)) return false;
        this.#at = 'fact';
        break;
      case 'fact':
        if (!this.#stepFacts()) return false;
        this.#at = 'session';
    }
    // Most gateways have none of these.
    if (this.#at === 'denied' && this.#table.deniedEntries === 0) this.#skip('denied', 'fact');
    if (this.#at === 'fact' && this.#table.factEntries === 0) this.#skip('fact', 'session');
    if (this.#at !== 'session') return false;
    this.counts.walks += 1;
    return true;
  }

  #skip(empty: 'denied' | 'fact', next: Collected): void {
    this.#table.sweptTellings(empty, this.#table.tellings(empty));
    this.#at = next;
  }

  #stepSessions(nowMs: number): boolean {
    const walk = this.#walks.session;
    if (walk.atStart) this.#commitsAtFirst = this.#table.commits;
    const { count, end } = walk.next();
    const { values } = walk;
    const { generation } = this.#settings;
    const nowLow = nowMs % 2 ** 32;
    const nowHigh = Math.floor(nowMs / 2 ** 32);
    for (let i = 0; i < count; i++) {
      const at = i * SESSION.words;
      const low = values[at + SESSION.expires] as number;
      const high = values[at + SESSION.expires + 1] as number;
      const isEndless = low === 0 && high === 0;
      const isExpired = !isEndless && (high < nowHigh || (high === nowHigh && low <= nowLow));
      if (isExpired || (values[at + SESSION.generation] as number) < generation) {
        this.#table.collect('session', walk.keyOf(i), walk.valueOf(i));
      } else {
        const backend = ((values[at + SESSION.backend] as number) >>> BACKEND_SHIFT) & (BACKEND_IDS - 1);
        this.#counting[backend] = (this.#counting[backend] as number) + 1;
      }
    }
    this.counts.collected += this.#table.flush().removed;
    if (end) {
      this.#table.swept(this.#commitsAtFirst);
      [this.#counted, this.#counting] = [this.#counting, this.#counted ?? new Uint32Array(BACKEND_IDS)];
      this.#counting.fill(0);
    }
    return end;
  }

  #stepDenied(nowMs: number): boolean {
    const walk = this.#walks.denied;
    if (walk.atStart) this.#tellingsAtFirst.denied = this.#table.tellings('denied');
    const { count, end } = walk.next();
    const { values } = walk;
    const { deniedGeneration } = this.#settings;
    const nowLow = nowMs % 2 ** 32;
    const nowHigh = Math.floor(nowMs / 2 ** 32);
    for (let i = 0; i < count; i++) {
      const at = i * DENIED.words;
      const low = values[at + DENIED.until] as number;
      const high = values[at + DENIED.until + 1] as number;
      const isOver = high < nowHigh || (high === nowHigh && low <= nowLow);
      if (isOver || (values[at + DENIED.generation] as number) < deniedGeneration) {
        this.#table.collect('denied', walk.keyOf(i), walk.valueOf(i));
      }
    }
    this.#table.flush();
    if (end) this.#table.sweptTellings('denied', this.#tellingsAtFirst.denied);
    return end;
  }

  #stepFacts(): boolean {
    const walk = this.#walks.fact;
    if (walk.atStart) this.#tellingsAtFirst.fact = this.#table.tellings('fact');
    const { count, end } = walk.next();
    const { factsGeneration } = this.#settings;
    for (let i = 0; i < count; i++) {
      const generation = walk.values[i * FACT.words + FACT.generation] as number;
      if (generation < factsGeneration) this.#table.collect('fact', walk.keyOf(i), walk.valueOf(i));
    }
    this.#table.flush();
    if (end) this.#table.sweptTellings('fact', this.#tellingsAtFirst.fact);
    return end;
  }
}
