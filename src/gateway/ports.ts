/**
 * What the gateway's parts need of each other, as interfaces: the kernel side (src/gateway/kernel) and the daemon
 * (daemon.ts) implement them, and tests put their own behind them. May be imported by src/gateway only.
 */
import type { Key as KernelKey, Verdict } from '../abi.ts';
import type { KeyFields } from '../auth/keyring.ts';
import type { BackendPatch } from '../sync/functions.ts';
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
}

export type VerdictName = Exclude<keyof typeof Verdict, 'COUNT'>;

export interface InterfaceStatus {
  readonly name: string;
  /** What the driver does with the program; `missing` while there is no such interface. */
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
  readonly port: number;
  readonly interfaces: readonly InterfaceStatus[];
  /** IP addresses that are answered on. */
  readonly addresses: readonly string[];
  readonly redis: string;
  readonly sync: SyncView;
  readonly keys: readonly KeyInfo[];
  /** Packets by verdict since the maps were made. */
  readonly packets: Readonly<Record<VerdictName, number>>;
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

/** The tables in Redis that operators and the control API change, always through the function library. */
export interface Directory {
  backends(): Promise<BackendList>;
  /**
   * Changes these fields of a backend, or makes it: then `id` and `address` are needed.
   * @throws GatewayError BACKEND_REFUSED
   */
  patchBackend(name: string, fields: BackendPatch): Promise<BackendRecord>;
  /** @throws GatewayError BACKEND_UNKNOWN */
  removeBackend(name: string): Promise<void>;
  /** @throws GatewayError SESSION_REFUSED */
  setSession(sid: string, backend: string, ttlMs: number): Promise<void>;
  /** @throws GatewayError SESSION_UNKNOWN */
  removeSession(sid: string): Promise<void>;
}

/** What the control API serves. Everything that fails throws a GatewayError. */
export interface Gateway extends Directory {
  status(): Status;
  keys(): readonly KeyInfo[];
  reloadKeys(): KeyReload;
  session(sid: string): Promise<SessionView>;
}
