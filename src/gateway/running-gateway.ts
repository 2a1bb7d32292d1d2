/**
 * The gateway as the control API sees it: the parts of a running daemon behind one port. May be imported by src/gateway only.
 */
import type { Session } from '../abi.ts';
import { cookieHash } from '../auth/cookie.ts';
import type { Runtime } from '../sync/runtime.ts';
import type { SyncStatus } from '../sync/status.ts';
import type { Backend } from '../sync/table.ts';
import { AnswerRates, type ReadAnswers } from './answer-rates.ts';
import type { Config } from './config.ts';
import { deniedUntil } from './denied-until.ts';
import type { Events } from './events.ts';
import type { Fleet } from './fleet.ts';
import type { Latencies } from './kernel/latencies.ts';
import { latencyStatus } from './latency-status.ts';
import { PacketTrace, type TraceSource } from './packet-trace.ts';
import type {
  BackendCounts,
  BackendRecord,
  BackendViews,
  Directory,
  FactRecord,
  FleetView,
  Gateway,
  GatewayEvent,
  InterfaceStatus,
  KernelSession,
  KeyInfo,
  KeyReload,
  RedisSession,
  SessionView,
  SettleState,
  Stats,
  Status,
  SyncView,
  TraceFilter,
  TraceReader,
  VerdictName,
} from './ports.ts';
import { sharesOf } from './present-answers.ts';
import { shownRedis } from './redis-access.ts';
import type { Settling } from './settling.ts';
import { VERSION } from './version.ts';

/** The sequence number in a version (docs/protocol.md, "LOOKUP reply"). */
const SEQUENCE_BITS = 20n;

/** What is read of the kernel side. */
export interface KernelView {
  readonly capacity: number;
  readonly settings: { readonly generation: number; readonly inStepMs: number; readonly timedOneIn: number };
  readonly table: {
    readonly entries: number;
    readonly refused: number;
    find(hash: Uint8Array): Session | undefined;
  };
  readonly sweeper: {
    readonly counts: { readonly collected: number };
    /** Sessions stored on each backend, by its id, when last counted; undefined before. */
    readonly backendSessions: { readonly [id: number]: number } | undefined;
  };
  readonly backendAnswers: ReadAnswers;
  /** Null where no program shows packets. */
  readonly trace: TraceSource | null;
  interfaces(names: readonly string[]): InterfaceStatus[];
  verdictCounts(): Record<VerdictName, number>;
  /** Of no status where nothing is timed. */
  latencies(): Partial<Latencies>;
  keyUses(id: number): number;
}

/** What is read of the responder. */
export interface ResponderView {
  verdictCounts(): Record<VerdictName, number>;
}

export interface GatewayParts {
  readonly config: Config;
  readonly kernel: KernelView;
  /** What answers beside the kernel; null where it answers alone. */
  readonly responder: ResponderView | null;
  readonly lost: () => Status['lost'];
  readonly sync: { status(): SyncStatus };
  readonly keys: { list(nowMs: number): Omit<KeyInfo, 'uses'>[] };
  readonly reloadKeys: () => KeyReload;
  /** That are in force. */
  readonly backends: () => readonly Backend[];
  readonly addresses: () => readonly string[];
  readonly events: Events;
  readonly directory: Directory & { session(sid: string): Promise<RedisSession | null> };
  readonly fleet: Pick<Fleet, 'view'>;
  readonly settling: Pick<Settling, 'state' | 'start' | 'stop'>;
  readonly runtime: Runtime;
}

export class RunningGateway implements Gateway {
  readonly #parts: GatewayParts;
  readonly #startedAt: string;
  readonly #rates: AnswerRates;
  readonly #trace: PacketTrace;

  constructor(parts: GatewayParts) {
    const { kernel, runtime } = parts;
    this.#parts = parts;
    this.#startedAt = new Date(runtime.wallMs()).toISOString();
    this.#trace = new PacketTrace(kernel.trace, runtime);
    this.#rates = new AnswerRates((ids) => kernel.backendAnswers(ids), runtime);
  }

  status(): Status {
    const { config, kernel, responder, lost, sync, addresses, runtime } = this.#parts;
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
      ageMs: inStepMs === 0 ? null : Math.max(0, Math.round(runtime.monotonicMs() - inStepMs)),
      staleAfterMs: config.listen.staleAfterMs,
      port: config.listen.port,
      interfaces: kernel.interfaces(config.listen.interfaces).map(({ name, mode }) => ({ name, mode })),
      addresses: addresses(),
      redis: shownRedis(config.redis),
      sync: view,
      keys: this.keys(),
      packets: kernel.verdictCounts(),
      latency: latencyStatus(kernel.settings.timedOneIn, kernel.latencies()),
      responder: responder?.verdictCounts() ?? null,
      lost: lost(),
    };
  }

  stats(): Stats {
    const atMs = this.#parts.runtime.monotonicMs();
    return { atMs, status: this.status(), fleet: this.fleet(), settle: this.settle() };
  }

  fleet(): FleetView {
    return this.#parts.fleet.view();
  }

  settle(): SettleState | null {
    return this.#parts.settling.state;
  }

  startSettle(backend: string, rate: number): Promise<SettleState> {
    return this.#parts.settling.start(backend, rate);
  }

  stopSettle(): Promise<void> {
    return this.#parts.settling.stop();
  }

  keys(): KeyInfo[] {
    const { keys, kernel, runtime } = this.#parts;
    return keys.list(runtime.wallMs()).map((key) => ({ ...key, uses: kernel.keyUses(key.id) }));
  }

  reloadKeys(): KeyReload {
    return this.#parts.reloadKeys();
  }

  async backends(): Promise<BackendViews> {
    const { directory, kernel } = this.#parts;
    const { backends, faults } = await directory.backends();
    const shares = sharesOf(backends);
    const rates = await this.#rates.rates(backends.map(({ id }) => id));
    const counted = kernel.sweeper.backendSessions;
    const views = backends.map((backend) => ({
      ...backend,
      share: shares.get(backend.id) ?? 0,
      sessions: counted === undefined ? null : (counted[backend.id] ?? 0),
      lookupsPerSecond: rates.get(backend.id) ?? null,
    }));
    return { backends: views, faults };
  }

  backendCounts(limit: number): BackendCounts[] {
    const { backends, kernel } = this.#parts;
    const shown = [...backends()].sort((a, b) => a.id - b.id).slice(0, limit);
    const answers = kernel.backendAnswers(shown.map(({ id }) => id));
    const counted = kernel.sweeper.backendSessions;
    return shown.map(({ name, id, state, weight, shed }, i) => ({
      ...{ name, id, state, weight, shed },
      sessions: counted === undefined ? null : (counted[id] ?? 0),
      answers: answers?.[i] ?? 0,
    }));
  }

  patchBackend(...args: Parameters<Directory['patchBackend']>): Promise<BackendRecord> {
    return this.#parts.directory.patchBackend(...args);
  }

  removeBackend(...args: Parameters<Directory['removeBackend']>): Promise<void> {
    return this.#parts.directory.removeBackend(...args);
  }

  setSession(...args: Parameters<Directory['setSession']>): Promise<void> {
    return this.#parts.directory.setSession(...args);
  }

  moveSession(...args: Parameters<Directory['moveSession']>): Promise<{ readonly from: string }> {
    return this.#parts.directory.moveSession(...args);
  }

  removeSession(sid: string): Promise<void> {
    return this.#parts.directory.removeSession(sid);
  }

  async denySession(sid: string, forMs: number | null): Promise<{ untilMs: number }> {
    const untilMs = deniedUntil(this.#parts.runtime.wallMs(), forMs);
    await this.#parts.directory.denySession(sid, untilMs);
    return { untilMs };
  }

  allowSession(sid: string): Promise<void> {
    return this.#parts.directory.denySession(sid, 0);
  }

  fact(name: string): Promise<FactRecord> {
    return this.#parts.directory.fact(name);
  }

  setFact(...args: Parameters<Directory['setFact']>): Promise<FactRecord> {
    return this.#parts.directory.setFact(...args);
  }

  removeFact(name: string): Promise<void> {
    return this.#parts.directory.removeFact(name);
  }

  subscribe(reader: (event: GatewayEvent) => void): () => void {
    return this.#parts.events.subscribe(reader);
  }

  trace(filter: TraceFilter, reader: TraceReader): () => void {
    return this.#trace.watch(filter, reader);
  }

  async session(sid: string): Promise<SessionView> {
    const redis = await this.#parts.directory.session(sid);
    const held = this.#parts.kernel.table.find(cookieHash(sid));
    return { redis, kernel: held === undefined ? null : this.#kernelSession(held) };
  }

  #kernelSession({ version, expiresMs, generation, backendId }: Session): KernelSession {
    const { kernel, runtime } = this.#parts;
    const expired = expiresMs !== 0n && Number(expiresMs) <= runtime.wallMs();
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
  const { denied, facts } = status;
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
    denied,
    facts,
    connections: counts.connections,
    entries: { ...counts.feed },
    changes: { ...counts.table },
    problems: counts.problems,
    resyncs: counts.resyncs,
    resyncsFailed: counts.resyncsFailed,
  };
}
