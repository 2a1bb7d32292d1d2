/**
 * Maps `backends` and `ring`, of two halves each: the ones that are not in force are written whole, then one store in the
 * settings switches both, so that no reply mixes two states. Imported by session-table.ts alone.
 */
import { backendLayout, Limit, ringSlotLayout } from '../../abi.ts';
import { buildRing } from '../../auth/placement.ts';
import type { Backend } from '../../sync/table.ts';
import { SharedMemory } from './libc.ts';
import type { Settings } from './settings.ts';

/** A half is rewritten while packets read the other; none takes this long. */
const GRACE_MS = 20;
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
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: Settings, { backends, ring }: BackendHalvesDescriptors) {
    this.#settings = settings;
    this.#backends = new SharedMemory(backends, 2 * BACKENDS_BYTES);
    this.#ring = new SharedMemory(ring, 2 * RING_BYTES);
  }

  /** Takes effect at once, or, soon after another switch, when no packet reads the other half any more. */
  set(backends: readonly Backend[]): void {
    this.#pending = backends;
    if (this.#timer === undefined) this.#switch();
  }

  #switch(): void {
    const backends = this.#pending;
    this.#timer = undefined;
    if (backends === undefined) return;
    this.#pending = undefined;
    const half = this.#settings.backendsHalf === 0 ? 1 : 0;
    this.#writeBackends(half, backends);
    this.#writeRing(half, backends);
    this.#settings.backendsHalf = half;
    this.#timer = setTimeout(() => this.#switch(), GRACE_MS);
    this.#timer.unref();
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

  close(): void {
    clearTimeout(this.#timer);
    for (const memory of [this.#backends, this.#ring]) memory.close();
  }
}
