/**
 * The session table, with what changes in it told to whoever reads the gateway's events: backends, facts, and how many
 * revocations; sessions are too many to tell. May be imported by src/gateway only.
 */
import { FACTS_MAX } from '../sync/limits.ts';
import type { Backend, FlushCounts, Room, SessionTable, Version } from '../sync/table.ts';
import type { Events } from './events.ts';
import { EVENT_NAMES_MAX, type GatewayEvent } from './ports.ts';

export class ObservedTable implements SessionTable {
  readonly #table: SessionTable;
  readonly #events: Pick<Events, 'publish' | 'countDenial'>;
  #inForce: readonly Backend[] = [];
  /** By name, everything of a backend as text. */
  #backends: ReadonlyMap<string, string> = new Map();
  /** Values in hex by the hash of their names, at most `FACTS_MAX`; of further ones every setting is told. */
  #facts = new Map<string, string>();
  /** While all facts are told anew, those that were. */
  #toldFacts: Map<string, string> | undefined;
  #tellsDenied = false;
  /** Told once they are in force. */
  #pending: GatewayEvent[] = [];

  constructor(table: SessionTable, events: Pick<Events, 'publish' | 'countDenial'>) {
    this.#table = table;
    this.#events = events;
  }

  get room(): number {
    return this.#table.room;
  }

  get hasGarbage(): boolean {
    return this.#table.hasGarbage;
  }

  get deniedRoom(): Room {
    return this.#table.deniedRoom;
  }

  get factsRoom(): Room {
    return this.#table.factsRoom;
  }

  /** Those that were set last. */
  get backends(): readonly Backend[] {
    return this.#inForce;
  }

  put(hash: string, version: Version, expiresMs: number, backendId: number): void {
    this.#table.put(hash, version, expiresMs, backendId);
  }

  remove(hash: string, version: Version): void {
    this.#table.remove(hash, version);
  }

  deny(hash: string, untilMs: number): void {
    this.#table.deny(hash, untilMs);
    // What is told anew is mostly not new.
    if (!this.#tellsDenied) this.#events.countDenial();
  }

  putFact(nameHash: string, value: Uint8Array, version: Version): void {
    this.#table.putFact(nameHash, value, version);
    const held = this.#facts.get(nameHash);
    const hex = Buffer.from(value).toString('hex');
    if (held !== hex) this.#pending.push({ type: 'fact', nameHash, hex });
    if (held !== undefined || this.#facts.size < FACTS_MAX) this.#facts.set(nameHash, hex);
    if (this.#toldFacts !== undefined && this.#toldFacts.size < FACTS_MAX) this.#toldFacts.set(nameHash, hex);
  }

  removeFact(nameHash: string): void {
    this.#table.removeFact(nameHash);
    if (!this.#facts.delete(nameHash)) return;
    this.#pending.push({ type: 'fact', nameHash, hex: null });
  }

  flush(): FlushCounts {
    const counts = this.#table.flush();
    if (this.#pending.length > 0) {
      for (const event of this.#pending) this.#events.publish(event);
      this.#pending = [];
    }
    return counts;
  }

  beginGeneration(): void {
    this.#table.beginGeneration();
  }

  commitGeneration(): void {
    this.#table.commitGeneration();
  }

  beginDenied(): void {
    this.#tellsDenied = true;
    this.#table.beginDenied();
  }

  endDenied(): void {
    this.#tellsDenied = false;
    this.#table.endDenied();
  }

  beginFacts(): void {
    this.#toldFacts = new Map();
    this.#table.beginFacts();
  }

  endFacts(): void {
    const told = this.#toldFacts ?? this.#facts;
    for (const nameHash of this.#facts.keys()) {
      if (!told.has(nameHash)) this.#pending.push({ type: 'fact', nameHash, hex: null });
    }
    this.#facts = told;
    this.#toldFacts = undefined;
    this.#table.endFacts();
  }

  setBackends(backends: readonly Backend[]): void {
    this.#table.setBackends(backends);
    this.#inForce = backends;
    const now = new Map(backends.map((backend) => [backend.name, textOf(backend)]));
    const names = [...now.keys()].filter((name) => now.get(name) !== this.#backends.get(name));
    names.push(...[...this.#backends.keys()].filter((name) => !now.has(name)));
    this.#backends = now;
    if (names.length === 0) return;
    const shown = names.slice(0, EVENT_NAMES_MAX);
    this.#events.publish({ type: 'backends', names: shown, others: names.length - shown.length });
  }

  markInStep(monotonicMs: number): void {
    this.#table.markInStep(monotonicMs);
  }
}

function textOf({ id, address, port, state, weight, shed }: Backend): string {
  return [id, Buffer.from(address).toString('hex'), port, state, weight, shed].join(' ');
}
