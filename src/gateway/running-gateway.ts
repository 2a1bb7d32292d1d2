/**
 * The gateway as the control API sees it: the parts of a running daemon behind one port. May be imported by src/gateway only.
 */
import type { Session } from '../abi.ts';
import { cookieHash } from '../auth/cookie.ts';
import type { SyncStatus } from '../sync/status.ts';
import type { Config } from './config.ts';
import type {
  BackendList,
  BackendRecord,
  Directory,
  Gateway,
  InterfaceStatus,
  KernelSession,
  KeyInfo,
  KeyReload,
  RedisSession,
  SessionView,
  Status,
  SyncView,
  VerdictName,
} from './ports.ts';
import { shownRedis } from './redis-access.ts';
import type { Clocks } from './upkeep.ts';
import { VERSION } from './version.ts';

/** The sequence number in a version (docs/protocol.md, "LOOKUP reply"). */
const SEQUENCE_BITS = 20n;

/** What is read of the kernel side. */
export interface KernelView {
  readonly capacity: number;
  readonly settings: { readonly generation: number; readonly inStepMs: number };
  readonly table: {
    readonly entries: number;
    readonly refused: number;
    find(hash: Uint8Array): Session | undefined;
  };
  readonly sweeper: { readonly counts: { readonly collected: number } };
  interfaces(names: readonly string[]): InterfaceStatus[];
  verdictCounts(): Record<VerdictName, number>;
}

export interface GatewayParts {
  readonly config: Config;
  readonly kernel: KernelView;
  readonly sync: { status(): SyncStatus };
  readonly keys: { list(nowMs: number): KeyInfo[] };
  readonly reloadKeys: () => KeyReload;
  readonly addresses: () => readonly string[];
  readonly directory: Directory & { session(sid: string): Promise<RedisSession | null> };
  readonly clocks: Clocks;
}

export class RunningGateway implements Gateway {
  readonly #parts: GatewayParts;
  readonly #startedAt: string;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#startedAt = new Date(parts.clocks.wallMs()).toISOString();
  }

  status(): Status {
    const { config, kernel, sync, addresses, clocks } = this.#parts;
    const { ready, ...view } = syncView(sync.status());
    const { inStepMs } = kernel.settings;
    return {
      version: VERSION,
      pid: process.pid,
      startedAt: this.#startedAt,
      configFile: config.file,
      ready,
      sessions: kernel.table.entries,
      capacity: kernel.capacity,
      refused: kernel.table.refused,
      collected: kernel.sweeper.counts.collected,
      ageMs: inStepMs === 0 ? null : Math.max(0, Math.round(clocks.monotonicMs() - inStepMs)),
      port: config.listen.port,
      interfaces: kernel.interfaces(config.listen.interfaces).map(({ name, mode }) => ({ name, mode })),
      addresses: addresses(),
      redis: shownRedis(config.redis),
      sync: view,
      keys: this.keys(),
      packets: kernel.verdictCounts(),
    };
  }

  keys(): KeyInfo[] {
    return this.#parts.keys.list(this.#parts.clocks.wallMs());
  }

  reloadKeys(): KeyReload {
    return this.#parts.reloadKeys();
  }

  backends(): Promise<BackendList> {
    return this.#parts.directory.backends();
  }

  patchBackend(...args: Parameters<Directory['patchBackend']>): Promise<BackendRecord> {
    return this.#parts.directory.patchBackend(...args);
  }

  removeBackend(name: string): Promise<void> {
    return this.#parts.directory.removeBackend(name);
  }

  setSession(...args: Parameters<Directory['setSession']>): Promise<void> {
    return this.#parts.directory.setSession(...args);
  }

  removeSession(sid: string): Promise<void> {
    return this.#parts.directory.removeSession(sid);
  }

  async session(sid: string): Promise<SessionView> {
    const redis = await this.#parts.directory.session(sid);
    const held = this.#parts.kernel.table.find(cookieHash(sid));
    return { redis, kernel: held === undefined ? null : this.#kernelSession(held) };
  }

  #kernelSession({ version, expiresMs, generation, backendId }: Session): KernelSession {
    const { kernel, clocks } = this.#parts;
    const expired = expiresMs !== 0n && Number(expiresMs) <= clocks.wallMs();
    return {
      backendId,
      expiresMs: expiresMs === 0n ? null : Number(expiresMs),
      version: `${version >> SEQUENCE_BITS}-${version & ((1n << SEQUENCE_BITS) - 1n)}`,
      live: !expired && generation >= kernel.settings.generation,
    };
  }
}

function syncView(status: SyncStatus): SyncView & { readonly ready: boolean } {
  const { state, ready, position, lagEntries, notifications, lastError, resync, lastResync, backends, counts } = status;
  return {
    ready,
    state,
    position: position?.id ?? null,
    lagEntries,
    notifications,
    lastError,
    resync,
    lastResync,
    backends,
    connections: counts.connections,
    entries: { ...counts.feed },
    changes: { ...counts.table },
    problems: counts.problems,
    resyncs: counts.resyncs,
    resyncsFailed: counts.resyncsFailed,
  };
}
