/**
 * The table of backends as Redis holds it: hash `gateway:backends`, name → JSON, and hash
 * `gateway:backend-ids`, name → id (docs/redis.md). Pure. May be imported by every floor above.
 */
import { isUtf8 } from 'node:buffer';
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import {
  BACKEND_ENTRY_MAX_BYTES,
  BACKEND_ID_MAX,
  BACKEND_SHED_MAX,
  BACKEND_WEIGHT_MAX,
  NAME_MAX_BYTES,
} from '../limits.ts';
import type { Backend, BackendState } from '../table.ts';

/** Something wrong with one entry, to be counted as `kind` and shown. */
export interface BackendFault {
  /** As text; bytes that are not UTF-8 are replaced, and a long name is cut. */
  readonly name: string;
  readonly kind: 'backend-entry' | 'backend-field' | 'backend-id';
  /** What was found and what is allowed. */
  readonly message: string;
  /** Its users stay at its last good address, and nobody is placed on it; else it is left out or, for `backend-field`, used as it is. */
  readonly keepsLastGood: boolean;
}

export interface ParsedBackends {
  /** Sorted by name. */
  readonly backends: readonly Backend[];
  readonly faults: readonly BackendFault[];
}

const STATES: readonly string[] = ['active', 'draining', 'down'] satisfies BackendState[];
const FIELDS: readonly string[] = ['id', 'address', 'state', 'weight', 'shed'];
const DEFAULTS = { state: 'active', weight: 100, shed: 0 };

/**
 * An entry that can't be understood, or claims another's id, is on no ring. Where it was understood before, its last good
 * value stands in for it, with weight 0: so rings are equal on every gateway, whatever each has seen before.
 * @param table HGETALL of the backends: name, JSON, name, JSON, …; null is JSON that is longer than is allowed
 * @param ids HGETALL of the ids: name, id, …
 * @param lastGood by name, what was last understood
 */
export function parseBackends(
  table: readonly (Buffer | null)[],
  ids: readonly (Buffer | null)[],
  lastGood: ReadonlyMap<string, Backend>,
): ParsedBackends {
  const faults: BackendFault[] = [];
  const candidates: Candidate[] = [];
  for (let i = 0; i + 1 < table.length; i += 2) {
    const name = (table[i] as Buffer).toString('utf8');
    try {
      const backend = parseEntry(table[i] as Buffer, table[i + 1] as Buffer | null, (message) => {
        faults.push({ name: shown(name), kind: 'backend-field', message, keepsLastGood: false });
      });
      candidates.push({ backend, fault: null });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const fault = { name: shown(name), kind: 'backend-entry', message: error.message } as const;
      const backend = lastGood.get(name);
      if (backend === undefined) faults.push({ ...fault, keepsLastGood: false });
      else candidates.push({ backend: { ...backend, weight: 0 }, fault });
    }
  }
  return { backends: decideIds(candidates, owners(ids), lastGood, faults), faults };
}

interface Candidate {
  readonly backend: Backend;
  /** Where this is its last good value: what is wrong with its entry now. */
  readonly fault: Omit<BackendFault, 'keepsLastGood'> | null;
}

/** Which name the function library has given each id to. */
function owners(ids: readonly (Buffer | null)[]): Map<number, string> {
  const owner = new Map<number, string>();
  for (let i = 0; i + 1 < ids.length; i += 2) {
    const id = ids[i + 1];
    if (id != null) owner.set(Number(id.toString('latin1')), (ids[i] as Buffer).toString('utf8'));
  }
  return owner;
}

/**
 * One backend for each id: the one that the id was given to; else one whose entry can be understood
 * before a stand-in; else the name that sorts first. So every gateway decides alike. Who goes without keeps its last good
 * value where that has another id, which nobody else claims.
 */
function decideIds(
  candidates: readonly Candidate[],
  owner: ReadonlyMap<number, string>,
  lastGood: ReadonlyMap<string, Backend>,
  faults: BackendFault[],
): Backend[] {
  const rank = ({ backend, fault }: Candidate): number =>
    owner.get(backend.id) === backend.name ? 0 : fault === null ? 1 : 2;
  const inOrder = [...candidates].sort((a, b) => rank(a) - rank(b) || compareNames(a.backend.name, b.backend.name));
  const chosen = new Map<number, Backend>();
  const without: Candidate[] = [];
  for (const candidate of inOrder) {
    const { backend, fault } = candidate;
    if (chosen.has(backend.id)) without.push(candidate);
    else {
      chosen.set(backend.id, backend);
      if (fault !== null) faults.push({ ...fault, keepsLastGood: true });
    }
  }
  for (const { backend, fault } of without) {
    const other = chosen.get(backend.id) as Backend;
    const message = `id: found ${backend.id}, which is ${shown(other.name)}'s; allowed: an id of its own`;
    const last = lastGood.get(backend.name);
    const keepsLastGood = last !== undefined && !chosen.has(last.id);
    if (keepsLastGood) chosen.set(last.id, { ...last, weight: 0 });
    faults.push({ ...(fault ?? { name: shown(backend.name), kind: 'backend-id', message }), keepsLastGood });
  }
  return [...chosen.values()].sort((a, b) => compareNames(a.name, b.name));
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** @throws RangeError saying what was found and what is allowed */
function parseEntry(name: Buffer, json: Buffer | null, unknownField: (message: string) => void): Backend {
  if (name.length === 0 || name.length > NAME_MAX_BYTES) {
    throw new RangeError(`name: found ${name.length} bytes, allowed: 1 to ${NAME_MAX_BYTES}`);
  }
  if (!isUtf8(name)) throw new RangeError('name: found bytes that are not UTF-8, allowed: UTF-8');
  if (json === null || json.length > BACKEND_ENTRY_MAX_BYTES) {
    const found = json === null ? 'more' : `${json.length} bytes`;
    throw new RangeError(`entry: found ${found}, allowed: at most ${BACKEND_ENTRY_MAX_BYTES} bytes`);
  }
  const entry = { ...DEFAULTS, ...parseObject(json) } as Record<string, unknown>;
  for (const field of Object.keys(entry)) {
    if (!FIELDS.includes(field)) unknownField(`${shown(field)}: found, allowed: ${FIELDS.join(', ')}`);
  }
  const state = entry['state'];
  if (typeof state !== 'string' || !STATES.includes(state)) {
    throw new RangeError(`state: found ${describe(state)}, allowed: ${STATES.join(', ')}`);
  }
  return {
    name: name.toString('utf8'),
    id: integer('id', entry['id'], 1, BACKEND_ID_MAX),
    ...parseAddress(entry['address']),
    state: state as BackendState,
    weight: integer('weight', entry['weight'], 0, BACKEND_WEIGHT_MAX),
    shed: integer('shed', entry['shed'], 0, BACKEND_SHED_MAX),
  };
}

function parseObject(json: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch (error) {
    throw new RangeError('entry: found text that is not JSON, allowed: a JSON object', { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RangeError(`entry: found ${describe(value)}, allowed: a JSON object`);
  }
  return value as Record<string, unknown>;
}

function integer(field: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${field}: found ${describe(value)}, allowed: an integer from ${min} to ${max}`);
  }
  return value;
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([1-9]\d{0,4})$/;
const ADDRESS_ALLOWED = 'an IP literal and a port, as 10.0.0.11:8080 or [2001:db8::11]:8080';

/**
 * An IP literal and a port; IPv6 in brackets.
 * @returns the address as 16 bytes, IPv4 as ::ffff:a.b.c.d
 * @throws RangeError for anything else
 */
export function parseAddress(text: unknown): { address: Uint8Array; port: number } {
  const match = typeof text === 'string' ? ADDRESS.exec(text) : null;
  const [, v6, v4] = match ?? [];
  const port = Number(match?.[3]);
  const valid = v6 !== undefined ? isIPv6(v6) : v4 !== undefined && isIPv4(v4);
  if (!valid || port > 65_535) {
    throw new RangeError(`address: found ${describe(text)}, allowed: ${ADDRESS_ALLOWED}`);
  }
  const parsed = ipaddr.parse((v6 ?? v4) as string);
  const v6Address = parsed.kind() === 'ipv4' ? (parsed as ipaddr.IPv4).toIPv4MappedAddress() : parsed;
  return { address: Uint8Array.from(v6Address.toByteArray()), port };
}

const SHOWN_MAX = 80;

function shown(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  return shown(JSON.stringify(value) ?? typeof value);
}
