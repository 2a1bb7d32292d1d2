/**
 * What CLUSTER SLOTS says: which node owns which slots, and what other nodes there are. Pure.
 * May be imported by src/sync only.
 */
import { SyncError } from '../errors.ts';
import { SLOTS, type SlotRange } from './hash-slot.ts';
import { type HostPort, nodeId } from './redis-options.ts';

/** More than any cluster has: at most one range a slot, and replies of absurd size are refused. */
const NODES_MAX = 1000;

export interface ClusterSlots {
  /** By `host:port`; ranges in ascending order. */
  readonly masters: ReadonlyMap<string, { readonly node: HostPort; readonly slots: readonly SlotRange[] }>;
  /** Masters and replicas. */
  readonly nodes: readonly HostPort[];
}

/**
 * @param reply a list of [first slot, last slot, [host, port, …] of the master, the same of each replica]
 * @param asked the node that said so, whose host stands for one that isn't named
 * @throws SyncError REDIS_REPLY
 */
export function parseClusterSlots(reply: unknown, asked: HostPort): ClusterSlots {
  const refuse = (): never => {
    throw new SyncError('REDIS_REPLY', 'CLUSTER SLOTS: found no list of slot ranges with their nodes');
  };
  if (!Array.isArray(reply)) return refuse();
  const nodes = new Map<string, HostPort>();
  const masters = new Map<string, { node: HostPort; slots: SlotRange[] }>();
  for (const entry of reply.toSorted((a, b) => Number(a?.[0]) - Number(b?.[0]))) {
    if (!Array.isArray(entry)) return refuse();
    const [first, last, ...members] = entry;
    const isRange = isSlot(first) && isSlot(last) && first <= last;
    const [master, ...replicas] = members.map((member) => parseNode(member, asked));
    if (!isRange || master === undefined || master === null) return refuse();
    for (const node of [master, ...replicas]) if (node !== null) nodes.set(nodeId(node), node);
    const known = masters.get(nodeId(master)) ?? { node: master, slots: [] };
    known.slots.push([first, last]);
    masters.set(nodeId(master), known);
    if (nodes.size > NODES_MAX) return refuse();
  }
  return { masters, nodes: [...nodes.values()] };
}

/** How many slots have no owner. */
export function slotsWithoutOwner(owners: Iterable<{ readonly slots: readonly SlotRange[] }>): number {
  let owned = 0;
  for (const { slots } of owners) for (const [first, last] of slots) owned += last - first + 1;
  return Math.max(0, SLOTS - owned);
}

function isSlot(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < SLOTS;
}

/** @returns null for a node whose address the cluster doesn't know yet */
function parseNode(member: unknown, asked: HostPort): HostPort | null {
  const [host, port] = Array.isArray(member) ? member : [];
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return null;
  // Null: the one that was asked for (cluster-preferred-endpoint-type unknown-endpoint); "": not known even to itself.
  const name = host === null || host === undefined ? '' : String(host);
  if (name === '?') return null;
  return { host: name === '' ? asked.host : name, port };
}
