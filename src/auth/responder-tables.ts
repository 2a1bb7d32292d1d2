/**
 * What a responder answers from: a port. The kernel's maps hold the same (bpf/abi.h); the tests and the responder
 * in user space bring their own. May be imported by every floor above.
 */
import type { Key } from './keyring.ts';
import type { Ring } from './placement.ts';

/** As struct settings in bpf/abi.h; whole milliseconds. */
export interface ResponderSettings {
  /** Unix time in ms = monotonic clock in ms + this. */
  readonly clockOffsetMs: number;
  /** Monotonic ms at which the tables were last known to be in step with Redis; 0 = never. */
  readonly inStepMs: number;
  /** Replies older than this carry the flag STALE. */
  readonly staleAfterMs: number;
  readonly maxSkewMs: number;
  /** Sessions of an older generation are taken for none. */
  readonly generation: number;
  /** Whether a first load is in. */
  readonly ready: boolean;
}

export interface SessionRecord {
  readonly version: bigint;
  /** Unix ms; 0 = never */
  readonly expiresMs: number;
  readonly generation: number;
  /** 0 = the record names a backend that is not known. */
  readonly backendId: number;
}

export interface BackendRecord {
  /** 16 bytes; IPv4 as ::ffff:a.b.c.d */
  readonly address: Uint8Array;
  /** 1 to 65535 */
  readonly port: number;
  /** Whether it is known, with an address. */
  readonly known: boolean;
  /** Whether its users stay; one that is draining or down sends all of them elsewhere. */
  readonly active: boolean;
  /** Fraction of its users that goes elsewhere, 0 to `SHED_WHOLE`. */
  readonly shed: number;
}

export interface FactRecord {
  /** 0 to 24 bytes */
  readonly value: Uint8Array;
  readonly version: bigint;
}

/** A hash that is passed in is a part of the datagram: copy what is kept. */
export interface ResponderTables {
  readonly settings: ResponderSettings;
  /** Whether this source may ask: 16 bytes, IPv4 as ::ffff:a.b.c.d. */
  allows(source: Uint8Array): boolean;
  key(id: number): Key | undefined;
  session(hash: Uint8Array): SessionRecord | undefined;
  backend(id: number): BackendRecord | undefined;
  /** Of the same backends, at the same moment. */
  ring(): Ring;
  /** Until when a session is revoked, held or not: Unix ms; 0 = it is not. */
  denied(hash: Uint8Array): number;
  fact(hash: Uint8Array): FactRecord | undefined;
  /** Whether one more request outside the skew may be looked at, at this Unix time in ms; it is then spent. */
  spendSkewBudget(nowMs: number): boolean;
  /** Told of each backend that an answer names, where somebody counts them. */
  countAnswer?(backendId: number): void;
  /** Told of the key of each authentic request, likewise. */
  countKeyUse?(keyId: number): void;
}
