/**
 * The session table as the sync sees it: a port. In production it is the kernel's maps
 * (src/gateway/kernel/session-table.ts); the tests also use one in memory.
 *
 * Changes are queued (`put` to `removeFact`) and take effect, in order, at `flush`. A change whose version is
 * older than what the table holds for that session in the same generation is skipped, so that a
 * snapshot page and the feed may arrive in any order. Revocations and facts are told in order.
 */

/** Id of the feed entry that a record comes from: Unix ms and the sequence number within it. */
export interface Version {
  readonly ms: number;
  readonly seq: number;
}

/** What one `flush` did: in sessions, and from `denied` on in revocations and facts. */
export interface FlushCounts {
  inserted: number;
  replaced: number;
  removed: number;
  /** Older than what is held, or a removal of what is not held. */
  skipped: number;
  /** Not stored because the table is full. */
  refused: number;
  /** Revocations stored, or stored again. */
  denied: number;
  /** Revocations that were held and are gone: allowed, or over and collected. */
  allowed: number;
  /** Not stored because there are as many as the table takes. */
  deniedRefused: number;
  /** Facts stored or removed. */
  facts: number;
  /** Not stored because there are as many as the table takes. */
  factsRefused: number;
}

export function noChanges(): FlushCounts {
  return {
    inserted: 0,
    replaced: 0,
    removed: 0,
    skipped: 0,
    refused: 0,
    denied: 0,
    allowed: 0,
    deniedRefused: 0,
    facts: 0,
    factsRefused: 0,
  };
}

export type BackendState = 'active' | 'draining' | 'down';

export interface Backend {
  readonly name: string;
  /** 1 to 65535 */
  readonly id: number;
  /** 16 bytes; IPv4 as ::ffff:a.b.c.d */
  readonly address: Uint8Array;
  /** 1 to 65535 */
  readonly port: number;
  readonly state: BackendState;
  readonly weight: number;
  /** Hundredths of a percent, 0 to 10000. */
  readonly shed: number;
}

/** For records of one kind. */
export interface Room {
  /** Places for new ones. What is dead and not collected yet takes one too. */
  readonly free: number;
  /** Whether records that a telling left behind may still take places, which they will give up soon. */
  readonly hasGarbage: boolean;
}

export interface SessionTable {
  /**
   * Queues a session. `version` is read during the call; the caller writes the same object again afterwards.
   * @param hash cookie hash, 32 hexadecimal digits or more (what follows is ignored)
   * @param expiresMs Unix ms, 0 = never
   * @param backendId 0 = the record names a backend that is not known: a lookup finds nothing
   */
  put(hash: string, version: Version, expiresMs: number, backendId: number): void;
  /** Queues the removal of a session; of `version` the same holds. */
  remove(hash: string, version: Version): void;
  /**
   * Queues a revocation: lookups of this session, held or not, are answered with DENIED until then.
   * @param hash as in `put`
   * @param untilMs Unix ms; 0 = allowed again
   */
  deny(hash: string, untilMs: number): void;
  /**
   * Queues a fact. Facts are told in the order in which they were read: the last one goes, whatever its version.
   * @param nameHash first 16 bytes of SHA-256(name), 32 hexadecimal digits
   * @param value 0 to 24 bytes, read during the call
   */
  putFact(nameHash: string, value: Uint8Array, version: Version): void;
  /** Queues the removal of a fact. */
  removeFact(nameHash: string): void;
  /** Carries out what is queued. A queue that is full flushes by itself; what that did is part of the next `flush`'s counts. */
  flush(): FlushCounts;
  /** New sessions that find a place now; what is dead and not collected yet takes one too. */
  readonly room: number;
  /** Whether records that a generation left behind may still take places, which they will give up soon. */
  readonly hasGarbage: boolean;
  readonly deniedRoom: Room;
  readonly factsRoom: Room;

  /** From now on sessions are stored under the next generation; lookups still take both. */
  beginGeneration(): void;
  /** Sessions of older generations are gone, all at one moment, and the table is ready. */
  commitGeneration(): void;

  /**
   * From now on all revocations are told anew, by `deny`, up to `endDenied`: then those that weren't are gone, all at one
   * moment. A telling that is begun again is given up.
   */
  beginDenied(): void;
  endDenied(): void;
  /** The same for the facts. */
  beginFacts(): void;
  endFacts(): void;

  /** Makes these the known backends, and their ring the one in force, all at one moment. */
  setBackends(backends: readonly Backend[]): void;
  /** The table is what Redis held at this moment of the monotonic clock (process.hrtime, in ms). */
  markInStep(monotonicMs: number): void;
}
