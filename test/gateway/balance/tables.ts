/** Tables of backends with made-up users, and a second opinion on where each of them is answered. */
import { buildRing, RING_SLOTS, SHED_WHOLE } from '../../../src/auth/placement.ts';
import { CrowdCounter } from '../../../src/gateway/balance/crowd.ts';
import type { Loaded } from '../../../src/gateway/balance/flow.ts';
import type { BackendChange } from '../../../src/gateway/balance/plan.ts';
import { seeded } from '../../sync/harness.ts';

export interface User {
  readonly stored: number;
  readonly slot: number;
  readonly rank: number;
}

export interface Made {
  readonly name: string;
  readonly state?: Loaded['state'];
  readonly weight?: number;
  readonly shed?: number;
  readonly users: number;
  readonly target: number;
}

export interface CountedTable {
  readonly backends: readonly Loaded[];
  readonly users: readonly User[];
}

/** 16 bytes that give this slot and rank, by the rule of docs/protocol.md backwards. */
export function hashOf(slot: number, rank: number): Uint8Array {
  const hash = new Uint8Array(16);
  const view = new DataView(hash.buffer);
  view.setUint32(0, Math.ceil((slot * 2 ** 32) / RING_SLOTS));
  view.setUint32(4, Math.ceil((rank * 2 ** 32) / SHED_WHOLE));
  return hash;
}

/** Users at random, each known one by one. */
export function countedTable(made: readonly Made[], seed: number): CountedTable {
  const random = seeded(seed);
  const users: User[] = [];
  const backends = made.map(({ name, state = 'active', weight = 100, shed = 0, users: count, target }, i): Loaded => {
    const counter = new CrowdCounter();
    for (let n = 0; n < count; n++) {
      const slot = Math.floor(random() * RING_SLOTS);
      const rank = Math.floor(random() * SHED_WHOLE);
      users.push({ stored: i + 1, slot, rank });
      counter.add(hashOf(slot, rank));
    }
    return { id: i + 1, name, state, weight, shed, target, crowd: counter.crowd() };
  });
  return { backends, users };
}

export function changed<T extends Loaded>(backends: readonly T[], changes: readonly BackendChange[]): T[] {
  return backends.map((backend) => ({ ...backend, ...changes.find(({ name }) => name === backend.name) }));
}

/** Where each user is answered, as the steps of resolve() in bpf/gateway.bpf.c say, one by one. */
export function answers(backends: readonly Loaded[], users: readonly User[]): number[] {
  const { placed, moved } = buildRing(
    backends.map(({ id, name, state, weight, shed }) => ({ id, name, active: state === 'active', weight, shed })),
  );
  const byId = new Map(backends.map((backend) => [backend.id, backend]));
  return users.map(({ stored, slot, rank }) => {
    const backend = byId.get(stored) as Loaded;
    const to = moved[slot] as number;
    if (backend.state === 'active') return backend.shed > rank && to !== 0 ? to : stored;
    return to || (placed[slot] as number) || stored;
  });
}

export function countsOf(answered: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const id of answered) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}
