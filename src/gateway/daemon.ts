/**
 * The daemon: from the configuration to running parts, and to their end. May be imported by src/gateway only.
 *
 *     configuration ─▶ key file ─▶ kernel ─▶ control API ─▶ attachment, with keys, addresses and settings ─▶ sync, upkeep, sweeper
 *
 * Parts are started in this order and stopped in the other one, all at the word of one AbortController. What the kernel
 * answers does not depend on any of it.
 */
import { existsSync } from 'node:fs';
import { Miss } from '../abi.ts';
import { equalBytes } from '../auth/bytes.ts';
import type { Keyring } from '../auth/keyring.ts';
import type { Log } from '../sync/log.ts';
import { systemRuntime } from '../sync/runtime.ts';
import { Sync, type SyncOptions } from '../sync/sync.ts';
import { networkBytes } from './addresses.ts';
import type { Config } from './config.ts';
import { httpAccess } from './control/http-access.ts';
import { startControl } from './control/server.ts';
import { RedisDirectory } from './directory.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';
import { Events } from './events.ts';
import { Fleet, machineId } from './fleet.ts';
import { missingCapabilities } from './kernel/capabilities.ts';
import type { Datapath } from './kernel/datapath.ts';
import { coarseClockStepMs, interfaceAddresses, interfaceName } from './kernel/libc.ts';
import type { AttachRequest } from './kernel/links.ts';
import { giveBackProgramPages } from './kernel/resident-memory.ts';
import { Keys, readKeys } from './keys.ts';
import { runUntilEnded, type Stop } from './lifecycle.ts';
import { listenAddresses } from './listen-addresses.ts';
import type { Logger } from './log.ts';
import { ObservedTable } from './observed-table.ts';
import { GATEWAY_OBJECT } from './package-files.ts';
import type { KeyReload, VerdictName } from './ports.ts';
import { redisAccess } from './redis-access.ts';
import { AllowList } from './responder/allow-list.ts';
import { DatagramSockets } from './responder/datagram-sockets.ts';
import { MemoryDatapath } from './responder/memory-datapath.ts';
import { Misses } from './responder/misses.ts';
import { Responder } from './responder/responder.ts';
import { SlowPathBudget } from './responder/slow-path-budget.ts';
import { SocketDrops } from './responder/socket-drops.ts';
import { RunningGateway } from './running-gateway.ts';
import { ServiceManager } from './service-manager.ts';
import type { ServingSide } from './serving-side.ts';
import { Settling } from './settling.ts';
import { Upkeep } from './upkeep.ts';
import { VERSION } from './version.ts';

/** Requests outside the skew that are looked at, a second and CPU (docs/protocol.md, step 6). */
const SKEW_BUDGET = 1_000;
/** Requests whose tag the responder checks, a second, where the XDP program answers nearly all there are: this thread also follows Redis. */
const SLOW_PATH_PER_SECOND = 20_000;
/** A tenth of what the program waits for it. */
const SAY_EVERY_MS = Miss.ALIVE_MS / 10;
/** One of the wall clock's, one of the program's, and half of one that the offset is rounded by. */
const CLOCK_FRACTIONS_MS = 3;

/**
 * Runs until a signal ends it or a part fails.
 * @returns the exit status: 0 after SIGTERM or SIGINT, 1 when a part failed
 * @throws GatewayError when it could not start
 */
export function runDaemon(config: Config, log: Logger): Promise<number> {
  return runUntilEnded((stops) => startParts(config, log, stops), log);
}

async function startParts(config: Config, log: Logger, stops: Stop[]): Promise<void> {
  const { listen } = config;
  log.info({ version: VERSION, config: config.file }, 'starting');
  if (listen.allow.length === 0) log.warn('listen.allow is empty: anyone who reaches the interfaces may ask');
  const manager = new ServiceManager(process.env, systemRuntime, log);
  let reload: (() => KeyReload) | undefined;
  // From the beginning: a hang-up that nobody listens for ends the process.
  let isHungUp = false;
  const onHangup = () => {
    const again = reload;
    if (again === undefined) isHungUp = true;
    else manager.around(() => reloadOnHangup(again, log));
  };
  process.on('SIGHUP', onHangup);
  stops.push(() => void process.off('SIGHUP', onHangup));
  const access = redisAccess(config, (reason) => log.warn({ reason }, 'the certificates for Redis were not renewed'));
  const firstKeys = readKeys(config.keys);
  const http = httpAccess(config, systemRuntime.monotonicMs);

  const asksRedis = config.sessions.onMiss === 'ask-redis';
  const isInKernel = listen.attach !== 'none';
  const serving: ServingSide = isInKernel
    ? await startKernel(config, log)
    : startMemory(config, log, () => responder.verdictCounts());
  let isStarted = false;
  stops.push(() => (isStarted ? serving.close() : serving.abandon()));

  const keys = new Keys(serving);
  keys.check(firstKeys);
  const applyKeys = (next: Keyring): KeyReload => {
    const change = keys.apply(next);
    serving.withdrawKeys();
    logReload(change, log);
    return change;
  };
  const reloadKeys = (): KeyReload => {
    // Both files or neither.
    const replaceToken = http?.readTokenAgain();
    const change = applyKeys(readKeys(config.keys));
    replaceToken?.();
    return change;
  };

  const events = new Events(() => sync.status(), systemRuntime);
  const table = new ObservedTable(serving.table, events);
  const sync = new Sync({ ...syncOptions(config), asks: asksRedis, redis: access, table, log: syncLog(log) });
  // The program's clock is behind by up to a step, and by the fractions of a millisecond that it and Date.now() leave out; ahead
  // by as much, it never answers from a record that has expired, nor with more time than the record has.
  const aheadMs = (isInKernel ? coarseClockStepMs() : 0) + CLOCK_FRACTIONS_MS;
  const allowed = listen.allow.map(networkBytes);
  const budget = isInKernel ? new SlowPathBudget(SLOW_PATH_PER_SECOND) : null;
  const responder = new Responder({
    tables: serving.tables,
    key: (id) => keys.inForce.get(id),
    allowList: new AllowList(allowed),
    skewBudget: SKEW_BUDGET,
    budget,
    misses: asksRedis ? new Misses(sync, systemRuntime) : null,
    runtime: systemRuntime,
  });
  const sockets = new DatagramSockets({
    port: listen.port,
    log,
    zoneOf,
    received: (datagram, sender) => responder.receive(datagram, sender),
  });
  const drops = new SocketDrops(listen.port);
  stops.push(() => {
    sockets.close();
    responder.close();
  });
  const upkeep = new Upkeep(
    {
      setClockOffset: (ms) => serving.setClockOffset(ms + aheadMs),
      addresses: () => listenAddresses(listen),
      setAddresses: (addresses) => {
        serving.setAddresses(addresses);
        sockets.setAddresses(addresses);
      },
      reattach: () => {
        sockets.retry();
        return serving.reattach(listen.interfaces);
      },
      isReady: () => sync.status().ready,
      takeOver: () => serving.takeOver(),
    },
    systemRuntime,
    log,
  );

  const directory = new RedisDirectory(config, access);
  stops.push(() => directory.close());
  const settling = new Settling(() => new RedisDirectory(config, access));
  stops.push(() => settling.stop());
  // Its own, since a connection that is refused is given up (RedisDirectory.use): not one that others wait on.
  const fleetDirectory = new RedisDirectory(config, access);
  stops.push(() => fleetDirectory.close());
  const fleet = new Fleet({
    names: config.redis.names,
    announce: config.control.announce,
    machineId: machineId(),
    pins: config.pins,
    use: (action) => fleetDirectory.use(action),
    status: () => gateway.status(),
    runtime: systemRuntime,
    log,
  });
  const addresses = () => upkeep.addresses;
  const gateway: RunningGateway = new RunningGateway({
    config,
    kernel: serving,
    responder: isInKernel ? responder : null,
    lost: () => ({
      overflowed: drops.count(systemRuntime.monotonicMs()),
      unread: budget?.unread ?? 0,
      unsent: sockets.unsent,
    }),
    sync,
    keys,
    reloadKeys,
    backends: () => table.backends,
    addresses,
    events,
    directory,
    fleet,
    settling,
    runtime: systemRuntime,
  });
  const control = await startControl(config.control.socket, gateway, log, { http });
  stops.push(() => control.close());

  // Last, when nothing else can fail: until here nothing that an earlier daemon left answering is touched.
  if (!isInKernel) await takeOffEarlier(config.pins, log);
  inPart(isInKernel ? 'the XDP program' : 'the responder', () =>
    serving.attach(listen.interfaces, () => {
      applyKeys(firstKeys);
      upkeep.begin();
      serving.configure({ ...listen, allowed, skewBudget: SKEW_BUDGET });
    }),
  );
  if (!isInKernel) await requireSockets(sockets);
  isStarted = true;
  reload = reloadKeys;
  if (isHungUp) onHangup();
  sync.start();
  stops.push(() => sync.stop());
  upkeep.start();
  stops.push(() => upkeep.stop());
  serving.sweeper.start(
    () => systemRuntime.wallMs(),
    () => sync.suspect('clock-set-back'),
  );
  stops.push(() => serving.sweeper.stop());
  const canAsk = (): boolean => {
    const nowMs = systemRuntime.monotonicMs();
    // A miss that is handed up and lost is answered by nobody.
    const isOverrun = drops.isDropping(nowMs) || budget?.isOverrun(nowMs) === true;
    return sync.canAsk && sockets.state.failures.length === 0 && !isOverrun;
  };
  if (asksRedis) stops.push(keepSaying(serving, canAsk));
  fleet.start();
  stops.push(() => fleet.stop());
  giveBackProgramPages();
  manager.ready(() => sync.status().state);
  stops.push(() => manager.stopping());
  log.info({ socket: config.control.socket, pins: config.pins, adopted: serving.adopted }, 'started');
}

function startMemory(
  { sessions }: Config,
  log: Logger,
  verdictCounts: () => Record<VerdictName, number>,
): MemoryDatapath {
  log.warn(
    'listen.attach is none: every lookup is answered by this process, many times slower than by XDP, and none while it is not running',
  );
  return new MemoryDatapath({ capacity: sessions.capacity, runtime: systemRuntime, verdictCounts });
}

/** What an earlier daemon left on the interfaces would go on answering, before this one and from tables that nobody fills. */
async function takeOffEarlier(pins: string, log: Logger): Promise<void> {
  if (!existsSync(pins)) return;
  const { detachAll } = await import('./kernel/datapath.ts');
  const interfaces = inPart('the earlier XDP program', () => detachAll(pins));
  if (interfaces.length > 0) log.warn({ interfaces }, 'the XDP program of an earlier daemon was taken off');
}

/** @throws GatewayError START_FAILED where not one address can be listened on, though there are some */
async function requireSockets(sockets: DatagramSockets): Promise<void> {
  await sockets.settled();
  const { listening, failures } = sockets.state;
  if (listening > 0 || failures.length === 0) return;
  throw failure('START_FAILED', {
    part: 'the responder',
    reason: `no address can be listened on (${failures.join('; ')})`,
  });
}

/** Tells the program again and again that misses are asked about: it answers them by itself soon after that ends. */
function keepSaying(serving: ServingSide, isSo: () => boolean): Stop {
  const say = (): void => {
    serving.sayThatMissesAreAsked(isSo() ? Math.floor(systemRuntime.monotonicMs()) : 0);
  };
  const timer = setInterval(say, SAY_EVERY_MS);
  say();
  return () => {
    clearInterval(timer);
    serving.sayThatMissesAreAsked(0);
  };
}

/** The interface that has this address. */
function zoneOf(address: Uint8Array): string | undefined {
  for (const [index, addresses] of interfaceAddresses()) {
    if (addresses.some((one) => equalBytes(one, 0, address, 0, address.length))) return interfaceName(index);
  }
  return undefined;
}

async function startKernel({ listen, pins, sessions }: Config, log: Logger): Promise<Datapath> {
  const missing = missingCapabilities();
  if (missing.length > 0) throw failure('CAPABILITY_MISSING', { missing });
  // Only here: a machine without libbpf can do without it.
  const { Datapath } = await import('./kernel/datapath.ts');
  return inPart('the kernel side', () => {
    return new Datapath({
      pins,
      capacity: sessions.capacity,
      object: GATEWAY_OBJECT,
      attach: listen.attach as AttachRequest,
      events: {
        generic: (name, reason) => {
          log.warn(
            { interface: name, reason },
            'no native XDP here: attached in generic mode, which costs more a packet',
          );
        },
        attached: (name, mode) => log.info({ interface: name, mode }, 'attached'),
        kept: (name, mode, reason) => {
          log.warn({ interface: name, mode, reason }, 'listen.attach is refused here: the program goes on as it was');
        },
        putAside: (directory, problem) => {
          log.warn({ directory, problem }, 'these pinned maps are not what they were: they are made anew');
        },
      },
    });
  });
}

/** @throws GatewayError START_FAILED for what `start` throws */
function inPart<T>(part: string, start: () => T): T {
  try {
    return start();
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw failure('START_FAILED', { part, reason: reasonOf(error) }, error);
  }
}

function syncOptions({ redis, sessions, feed }: Config): Omit<SyncOptions, 'redis' | 'table' | 'log'> {
  const { prefix, backend } = sessions;
  return {
    names: redis.names,
    sessions: { prefix, backend },
    feed: { from: feed.from, stream: feed.stream, reconcileEveryMs: feed.reconcileEveryMs },
  };
}

function syncLog(log: Logger): Log {
  return (level, event, fields) => log[level]({ part: 'sync', ...fields }, event);
}

function logReload({ added, removed, changed, kept }: KeyReload, log: Logger): void {
  log.info({ added, removed, changed, kept }, 'keys in force');
}

function reloadOnHangup(reload: () => KeyReload, log: Logger): void {
  try {
    reload();
  } catch (error) {
    log.error({ err: error }, 'the keys were not reloaded: the old ones stay in force');
  }
}
