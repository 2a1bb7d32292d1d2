/**
 * Maps `backends` and `ring`, of two halves each: the ones that are not in force are written whole, then one store in the
 * settings switches both, so that no reply mixes two states. Imported by session-table.ts alone.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backendLayout, Limit, ringSlotLayout } from '../../abi.ts';
import { buildRing, type Ring } from '../../auth/placement.ts';
import type { BackendRecord } from '../../auth/responder-tables.ts';
import type { Backend } from '../../sync/table.ts';
import { programsEnded, SharedMemory } from './libc.ts';
import type { Settings } from './settings.ts';

/** Where the kernel doesn't tell when the last packet has left a half: hardly any takes so long. */
const GRACE_MS = 100;
const BACKENDS_BYTES = Limit.BACKENDS * backendLayout.size;
const RING_BYTES = Limit.RING_SLOTS * ringSlotLayout.size;
const SLOT_UNITS = ringSlotLayout.size / 2;
const PLACED = ringSlotLayout.offset.placed / 2;
const MOVED = ringSlotLayout.offset.moved / 2;

export interface BackendHalvesDescriptors {
  backends: number;
  ring: number;
}

export class BackendHalves {
  readonly #settings: Settings;
  readonly #backends: SharedMemory;
  readonly #ring: SharedMemory;
  #pending: readonly Backend[] | undefined;
  /** A packet may still read the half that is not in force. */
  #isRead = false;
  #isClosed = false;
  #inStepMs: number | undefined;
  /** The ring in force as the responder reads it, once it was asked for. */
  #readRing: Ring | undefined;

  constructor(settings: Settings, { backends, ring }: BackendHalvesDescriptors) {
    this.#settings = settings;
    this.#backends = new SharedMemory(backends, 2 * BACKENDS_BYTES);
    this.#ring = new SharedMemory(ring, 2 * RING_BYTES);
  }

  /** Takes effect at once, or, soon after another switch, when no packet reads the other half any more. */
  set(backends: readonly Backend[]): void {
    this.#pending = backends;
    if (!this.#isRead) this.#switch(backends);
  }

  /** The table is in step as of then, as soon as the backends that were set last are in force. */
  markInStep(monotonicMs: number): void {
    if (this.#pending === undefined) this.#settings.inStepMs = monotonicMs;
    else this.#inStepMs = monotonicMs;
  }

  #switch(backends: readonly Backend[]): void {
    this.#pending = undefined;
    const half = this.#settings.backendsHalf === 0 ? 1 : 0;
    this.#writeBackends(half, backends);
    this.#writeRing(half, backends);
    this.#settings.backendsHalf = half;
    this.#readRing = undefined;
    if (this.#inStepMs !== undefined) this.#settings.inStepMs = this.#inStepMs;
    this.#inStepMs = undefined;
    this.#isRead = true;
    void this.#untilUnread();
  }

  async #untilUnread(): Promise<void> {
    if (!(await programsEnded())) await sleep(GRACE_MS, undefined, { ref: false });
    this.#isRead = false;
    if (this.#pending !== undefined && !this.#isClosed) this.#switch(this.#pending);
  }

  #writeBackends(half: number, backends: readonly Backend[]): void {
    const memory = new DataView(this.#backends.buffer, half * BACKENDS_BYTES, BACKENDS_BYTES);
    const raw = new Uint8Array(memory.buffer, memory.byteOffset, BACKENDS_BYTES);
    const { offset } = backendLayout;
    raw.fill(0);
    for (const { id, address, port, state, shed } of backends) {
      const at = id * backendLayout.size;
      raw.set(address, at + offset.address);
      memory.setUint16(at + offset.port, port);
      memory.setUint8(at + offset.known, 1);
      memory.setUint8(at + offset.active, Number(state === 'active'));
      memory.setUint16(at + offset.shed, shed, true);
    }
  }

  #writeRing(half: number, backends: readonly Backend[]): void {
    const memory = new Uint16Array(this.#ring.buffer, half * RING_BYTES, RING_BYTES / 2);
    const { placed, moved } = buildRing(
      backends.map((backend) => ({ ...backend, active: backend.state === 'active' })),
    );
    for (let slot = 0; slot < Limit.RING_SLOTS; slot++) {
      memory[slot * SLOT_UNITS + PLACED] = placed[slot] as number;
      memory[slot * SLOT_UNITS + MOVED] = moved[slot] as number;
    }
  }

  /** What is in force of a backend; undefined = there is no such id. */
  backend(id: number): BackendRecord | undefined {
    if (id >= Limit.BACKENDS) return undefined;
    const { offset, size } = backendLayout;
    const from = this.#settings.backendsHalf * BACKENDS_BYTES + id * size;
    const record = new DataView(this.#backends.buffer, from, size);
    return {
      address: new Uint8Array(this.#backends.buffer, from + offset.address, 16).slice(),
      port: record.getUint16(offset.port),
      known: record.getUint8(offset.known) === 1,
      active: record.getUint8(offset.active) === 1,
      shed: record.getUint16(offset.shed, true),
    };
  }

  /** The ring in force. */
  ring(): Ring {
    this.#readRing ??= this.#readRingOf(this.#settings.backendsHalf);
    return this.#readRing;
  }

  #readRingOf(half: number): Ring {
    const memory = new Uint16Array(this.#ring.buffer, half * RING_BYTES, RING_BYTES / 2);
    const placed = new Uint16Array(Limit.RING_SLOTS);
    const moved = new Uint16Array(Limit.RING_SLOTS);
    for (let slot = 0; slot < Limit.RING_SLOTS; slot++) {
      placed[slot] = memory[slot * SLOT_UNITS + PLACED] as number;
      moved[slot] = memory[slot * SLOT_UNITS + MOVED] as number;
    }
    return { placed, moved };
  }

  close(): void {
    this.#isClosed = true;
    for (const memory of [this.#backends, this.#ring]) memory.close();
  }
}
