/**
 * What the gateway's parts need of each other, as interfaces: the kernel side (src/gateway/kernel) and the daemon
 * (daemon.ts) implement them, and tests put their own behind them. May be imported by src/gateway only.
 */
import type { Key as KernelKey, LatencyKind, Verdict } from '../abi.ts';
import type { KeyFields } from '../auth/keyring.ts';
import type { BackendPatch } from '../sync/redis/functions.ts';
import type { SyncState, SyncStatus } from '../sync/status.ts';
import type { BackendState } from '../sync/table.ts';

/** The maps that hold keys. Every call throws when the kernel refuses, and then has changed nothing. */
export interface KeyTable {
  /** Ids of the keys in force. */
  keyIds(): number[];
  /** The key in force under an id, secret states included. */
  key(id: number): KernelKey | undefined;
  /** Puts a key in force, in the place of what is there under its id. */
  putKey(id: number, key: KernelKey): void;
  removeKey(id: number): void;
  /** What the id stood for when it was first used (16 bytes). */
  keyFingerprint(id: number): Uint8Array | undefined;
  rememberKey(id: number, fingerprint: Uint8Array): void;
  /** Undoes `rememberKey` of a key that never came into force. */
  forgetKey(id: number): void;
}

/** What a reload changed; never a secret. */
export interface KeyReload {
  readonly added: readonly KeyName[];
  readonly removed: readonly KeyName[];
  readonly changed: readonly (KeyName & { readonly fields: readonly string[] })[];
  /** How many stayed as they were. */
  readonly kept: number;
}

export interface KeyName {
  readonly id: number;
  readonly name: string;
}

/** A key as it may be shown. */
export interface KeyInfo extends KeyFields {
  /** Whether it may be used now. */
  readonly valid: boolean;
  /** Authentic requests with it, since it was put in force. */
  readonly uses: number;
}

export type VerdictName = Exclude<keyof typeof Verdict, 'COUNT'>;

export interface InterfaceStatus {
  readonly name: string;
  /** What the driver does with the program; `none` without one, `missing` while there is no such interface. */
  readonly mode: string;
}

/** The sync's own status, its counters at the top. */
export interface SyncView {
  readonly state: SyncState;
  /** Id of the last feed entry that is in the table; null before the first. */
  readonly position: string | null;
  /** Entries that the feed had more than were applied, at the last check. */
  readonly lagEntries: number | null;
  readonly notifications: SyncStatus['notifications'];
  readonly lastError: SyncStatus['lastError'];
  readonly resync: SyncStatus['resync'];
  readonly lastResync: SyncStatus['lastResync'];
  readonly backends: SyncStatus['backends'];
  readonly denied: SyncStatus['denied'];
  readonly facts: SyncStatus['facts'];
  /** Connections that got as far as the feed's first check, or the subscription. */
  readonly connections: number;
  /** Feed entries by what they did, since the daemon started; so are the ones below. */
  readonly entries: Readonly<Record<string, number>>;
  /** What became of changes in the table. */
  readonly changes: Readonly<Record<string, number>>;
  /** Things in Redis that were not as they must be, by kind. */
  readonly problems: Readonly<Record<string, number>>;
  /** Full loads, by why they were needed. */
  readonly resyncs: Readonly<Record<string, number>>;
  readonly resyncsFailed: number;
}

/** How long answers of one kind took in the kernel, from the program's entry to its end: packets that were timed, since the maps were made. */
export interface LatencyCounts {
  readonly count: number;
  readonly sumNs: number;
  /** Half of them took no longer, and 99 of 100; null where none was timed. Within a bucket they count as evenly spread. */
  readonly p50Ns: number | null;
  readonly p99Ns: number | null;
  /** Upper bound, which is included, and how many are in this bucket and in none before; empty ones are left out. Null = longer than all bounds. */
  readonly buckets: readonly (readonly [leNs: number | null, count: number])[];
}

export type LatencyName = Exclude<keyof typeof LatencyKind, 'KINDS'>;

export interface LatencyStatus {
  /** Of so many packets one is timed; 0 = none. */
  readonly sampledOneIn: number;
  /** By the reply's status; a batch counts once, as BATCH, whatever its entries say. */
  readonly byStatus: Readonly<Record<LatencyName, LatencyCounts>>;
}

export interface Status {
  readonly version: string;
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly configFile: string;
  /** True once this daemon's own first load is in. */
  readonly ready: boolean;
  /** Sessions in the kernel, expired ones that are not yet collected included. */
  readonly sessions: number;
  readonly capacity: number;
  /** Sessions that were not stored because the table was full. */
  readonly refused: number;
  /** Dead sessions that were collected, since the daemon started. */
  readonly collected: number;
  /** How long ago the table was last known to be in step with Redis; null = never. */
  readonly ageMs: number | null;
  /** Answers of a higher age carry STALE. */
  readonly staleAfterMs: number;
  readonly port: number;
  readonly interfaces: readonly InterfaceStatus[];
  /** IP addresses that are answered on. */
  readonly addresses: readonly string[];
  readonly redis: string;
  readonly sync: SyncView;
  readonly keys: readonly KeyInfo[];
  /** Packets by verdict since the maps were made. */
  readonly packets: Readonly<Record<VerdictName, number>>;
  readonly latency: LatencyStatus;
  /**
   * Of those that the kernel left to the host, what became of them here, since the daemon started; null where there is no XDP program, and
   * `packets` has these.
   */
  readonly responder: Readonly<Record<VerdictName, number>> | null;
  /** What was lost at the host's sockets, since the daemon started. */
  readonly lost: {
    /** Datagrams that the kernel dropped, because a socket was full. */
    readonly overflowed: number;
    /** Datagrams that were not looked at, because there were too many. */
    readonly unread: number;
    /** Replies that were not sent, because the network took less. */
    readonly unsent: number;
  };
}

/** A backend as `gateway:backends` has it. */
export interface BackendRecord {
  readonly name: string;
  /** 1 to 65535 */
  readonly id: number;
  /** IP literal and port. */
  readonly address: string;
  readonly state: BackendState;
  readonly weight: number;
  /** Hundredths of a percent, 0 to 10000. */
  readonly shed: number;
}

export interface BackendList {
  /** Sorted by name. */
  readonly backends: readonly BackendRecord[];
  /** Entries that are wrong, and what is. */
  readonly faults: readonly { readonly name: string; readonly message: string }[];
}

export interface RedisSession {
  /** Null where the record names none. */
  readonly backend: string | null;
  /** Null = never expires. */
  readonly ttlMs: number | null;
}

/** What Redis holds for a session, and what the kernel does; null = nothing. */
export interface SessionView {
  readonly redis: RedisSession | null;
  readonly kernel: KernelSession | null;
}

export interface KernelSession {
  /** Id of the backend; 0 = one that is not known. */
  readonly backendId: number;
  /** Unix ms; null = never. */
  readonly expiresMs: number | null;
  /** Id of the feed entry that it comes from. */
  readonly version: string;
  /** Whether a lookup takes it: not expired, and not left over from before the last full load. */
  readonly live: boolean;
}

/** How much a backend is used, as this gateway sees it; null = not known. */
export interface BackendUse {
  /** Sessions stored on it, as last counted in the kernel. */
  readonly sessions: number | null;
  /** How often a second lookups were answered with it, of late. */
  readonly lookupsPerSecond: number | null;
}

export interface FactRecord {
  readonly name: string;
  /** 0 to 24 bytes, in hex. */
  readonly hex: string;
  /** The same as text; null where it is no UTF-8. */
  readonly value: string | null;
  /** Id of the feed entry that set it, `ms-seq`; null where it was set without one. */
  readonly version: string | null;
}

export interface RemoveOptions {
  /** Also where sessions are stored on it. */
  readonly force?: boolean;
  /** How long to look for such sessions, at most, ms. */
  readonly withinMs?: number;
}

/** The tables in Redis that operators and the control API change, always through the function library. */
export interface Directory {
  backends(): Promise<BackendList>;
  /**
   * Changes these fields of a backend, or makes it: then `id` and `address` are needed.
   * @throws GatewayError BACKEND_REFUSED; BACKEND_UNKNOWN where there is none and neither is given
   */
  patchBackend(name: string, fields: BackendPatch): Promise<BackendRecord>;
  /** @throws GatewayError BACKEND_UNKNOWN, BACKEND_IN_USE */
  removeBackend(name: string, options?: RemoveOptions): Promise<void>;
  /** @throws GatewayError SESSION_REFUSED */
  setSession(sid: string, backend: string, ttlMs: number): Promise<void>;
  /**
   * Only where it is stored; its end stays.
   * @returns where it was stored
   * @throws GatewayError SESSION_REFUSED, SESSION_UNKNOWN, BACKEND_UNKNOWN
   */
  moveSession(sid: string, backend: string): Promise<{ readonly from: string }>;
  /** @throws GatewayError SESSION_UNKNOWN */
  removeSession(sid: string): Promise<void>;
  /**
   * Revokes a session, whether or not it is stored.
   * @param untilMs Unix ms; 0 = allow it again
   * @throws GatewayError SESSION_REFUSED
   */
  denySession(sid: string, untilMs: number): Promise<void>;
  /** @throws GatewayError FACT_UNKNOWN */
  fact(name: string): Promise<FactRecord>;
  /**
   * @param value at most 24 bytes as UTF-8
   * @throws GatewayError FACT_REFUSED
   */
  setFact(name: string, value: string): Promise<FactRecord>;
  /** @throws GatewayError FACT_UNKNOWN, FACT_REFUSED */
  removeFact(name: string): Promise<void>;
}

/** A backend as answers go by it, with counters. */
export interface BackendCounts extends Pick<BackendRecord, 'name' | 'id' | 'state' | 'weight' | 'shed'> {
  /** Sessions stored on it, as last counted; null before that. */
  readonly sessions: number | null;
  /** How often an answer named it, since the maps were made. */
  readonly answers: number;
}

/** A backend with its share of the ring and how much it is used. */
export interface BackendView extends BackendRecord, BackendUse {
  /** Of those who are placed anew, the part that comes here, 0 to 1. */
  readonly share: number;
}

export interface BackendViews {
  readonly backends: readonly BackendView[];
  readonly faults: BackendList['faults'];
}

/** How one gateway of the fleet is, as it says itself in Redis (fleet.ts). */
export interface FleetMember {
  /** Tells gateways apart; stays over a restart. */
  readonly id: string;
  /** Of the machine. */
  readonly name: string;
  readonly version: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly ready: boolean;
  readonly state: SyncState;
  readonly sessions: number;
  readonly capacity: number;
  /** See Status. */
  readonly ageMs: number | null;
  readonly lagEntries: number | null;
  /** Requests that were answered, a second, over the last interval; null before the first. */
  readonly answersPerSecond: number | null;
  /** Of the lookups answered in the last interval, the part that found a live record, 0 to 1; null where there was none. */
  readonly hitRatio: number | null;
}

/** A member as it is heard here. */
export interface FleetSighting extends FleetMember {
  /** How long it has said nothing new. */
  readonly silentMs: number;
  /** How far its clock is ahead of this gateway's, less than zero: behind; too low by up to two beats. Null where that isn't known. */
  readonly clockAheadMs: number | null;
}

export interface FleetView {
  /** The id of the gateway that is asked. */
  readonly self: string;
  /** Sorted by name and id, this gateway among them; at most `FLEET_MAX`. */
  readonly members: readonly FleetSighting[];
  /** Why the others are not known; null = they are. */
  readonly problem: string | null;
}

/** `gateway settle` as the daemon does it: the last one, or the one that runs. */
export interface SettleState {
  readonly backend: string;
  readonly state: 'running' | 'done' | 'stopped' | 'failed';
  /** Sessions moved a second, at most. */
  readonly rate: number;
  /** From 1 on; each goes through all sessions. */
  readonly pass: number;
  /** How far this pass is, 0 to 1. */
  readonly part: number;
  readonly moved: number;
  /** False where sessions were still found in the last pass, null before the end. */
  readonly complete: boolean | null;
  /** What it ended with, where it failed. */
  readonly problem: string | null;
}

/** Everything that is watched, at one moment. */
export interface Stats {
  /** The monotonic clock, ms: rates are differences over it. */
  readonly atMs: number;
  readonly status: Status;
  readonly fleet: FleetView;
  readonly settle: SettleState | null;
}

/** What the control API serves. Everything that fails throws a GatewayError. */
export interface Gateway extends Omit<Directory, 'backends' | 'denySession'> {
  status(): Status;
  stats(): Stats;
  fleet(): FleetView;
  /** The one that runs, or ran last; null = none since the start. */
  settle(): SettleState | null;
  /**
   * Starts to settle a backend; returns once sessions are gone through.
   * @param rate sessions moved a second, at most
   * @throws GatewayError SETTLE_BUSY, SESSION_REFUSED, BACKEND_UNKNOWN, BACKEND_REFUSED
   */
  startSettle(backend: string, rate: number): Promise<SettleState>;
  /** Ends the one that runs, if one does, after the transaction that is under way. */
  stopSettle(): Promise<void>;
  keys(): readonly KeyInfo[];
  reloadKeys(): KeyReload;
  backends(): Promise<BackendViews>;
  /** The backends in force here, without asking Redis, at most `limit` of them, by id. */
  backendCounts(limit: number): readonly BackendCounts[];
  session(sid: string): Promise<SessionView>;
  /**
   * @param forMs null = for good
   * @returns until when, Unix ms
   * @throws GatewayError SESSION_REFUSED
   */
  denySession(sid: string, forMs: number | null): Promise<{ readonly untilMs: number }>;
  /** Takes a revocation back, if there is one. @throws GatewayError SESSION_REFUSED */
  allowSession(sid: string): Promise<void>;
  /** Tells what changes, from now on. @returns what ends it */
  subscribe(reader: (event: GatewayEvent) => void): () => void;
  /** Shows packets from now on. @returns what ends it @throws GatewayError TRACE_BUSY while somebody else watches */
  trace(filter: TraceFilter, reader: TraceReader): () => void;
}

/** Which packets are traced. */
export interface TraceFilter {
  readonly verdicts: readonly VerdictName[];
  /** Null = any, and packets without one. */
  readonly keyId: number | null;
  /** Null = any. 16 bytes, IPv4 as ::ffff:a.b.c.d, and how many bits of them count. */
  readonly source: { readonly bytes: Uint8Array; readonly prefixLength: number } | null;
  /** Of so many packets one is looked at, by chance; at least 1. */
  readonly oneIn: number;
}

/** A packet for the gateway, and what became of it. What it says is as it says it, genuine or not. */
export interface TraceEvent {
  /** When it came, Unix ms with a fraction. */
  readonly timeMs: number;
  /** IP address; null where only the host's stack can tell. */
  readonly source: string | null;
  readonly sourcePort: number | null;
  /** Null where it has no header of this protocol; so is `op`. */
  readonly keyId: number | null;
  /** LOOKUP, BATCH, FACT, or the number of another type. */
  readonly op: string | null;
  /** How many a BATCH asks for. */
  readonly entries: number | null;
  /** The first 4 bytes, in hex, of the (first) hash that it asks for. */
  readonly hash: string | null;
  readonly verdict: VerdictName;
  readonly tookNs: number;
}

/** What who watches is told. */
export interface TraceReader {
  packet(event: TraceEvent): void;
  /** So many packets found no room since the last call. */
  lost(packets: number): void;
}

/** What readers of `/v1/events` are told, as it comes into force in this gateway. */
export type GatewayEvent =
  /** Backends were added, changed or removed: their names, at most `EVENT_NAMES_MAX`, and how many others. */
  | { readonly type: 'backends'; readonly names: readonly string[]; readonly others: number }
  /** A fact is known here by the hash of its name alone (docs/protocol.md, "Names"), 32 hex digits. */
  | {
      readonly type: 'fact';
      readonly nameHash: string;
      /** Its value, 0 to 24 bytes in hex; null = there is none any more. */
      readonly hex: string | null;
    }
  /** How many sessions were denied or allowed again since the last event of this type. */
  | { readonly type: 'denied'; readonly changes: number }
  | { readonly type: 'state'; readonly state: SyncState; readonly ready: boolean };

export const EVENT_NAMES_MAX = 100;
