/**
 * The daemon: from the configuration to running parts, and to their end. May be imported by src/gateway only.
 *
 *     configuration ─▶ key file ─▶ kernel ─▶ control API ─▶ attachment, with keys, addresses and settings ─▶ sync, upkeep, sweeper
 *
 * Parts are started in this order and stopped in the other one, all at the word of one AbortController. What the kernel
 * answers does not depend on any of it.
 */
import type { Keyring } from '../auth/keyring.ts';
import type { Log } from '../sync/log.ts';
import { systemRuntime } from '../sync/runtime.ts';
import { Sync, type SyncOptions } from '../sync/sync.ts';
import { addressBytes, networkBytes } from './addresses.ts';
import type { Config } from './config.ts';
import { httpAccess } from './control/http-access.ts';
import { startControl } from './control/server.ts';
import { RedisDirectory } from './directory.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';
import { Events } from './events.ts';
import { missingCapabilities } from './kernel/capabilities.ts';
import { Datapath } from './kernel/datapath.ts';
import { coarseClockStepMs, interfaceAddresses, interfaceIndex } from './kernel/libc.ts';
import type { AttachRequest } from './kernel/links.ts';
import { giveBackProgramPages } from './kernel/resident-memory.ts';
import { TIMED_ONE_IN } from './kernel/settings.ts';
import { Keys, readKeys } from './keys.ts';
import { runUntilEnded, type Stop } from './lifecycle.ts';
import type { Logger } from './log.ts';
import { ObservedTable } from './observed-table.ts';
import { GATEWAY_OBJECT } from './package-files.ts';
import type { KeyReload } from './ports.ts';
import { redisAccess } from './redis-access.ts';
import { RunningGateway } from './running-gateway.ts';
import { ServiceManager } from './service-manager.ts';
import { Upkeep } from './upkeep.ts';
import { VERSION } from './version.ts';

/** Requests outside the skew that are looked at, a second and CPU (docs/protocol.md, step 6). */
const SKEW_BUDGET = 1_000;
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

  const missing = missingCapabilities();
  if (missing.length > 0) throw failure('CAPABILITY_MISSING', { missing });
  const kernel = startKernel(config, log);
  let isStarted = false;
  stops.push(() => (isStarted ? kernel.close() : kernel.abandon()));

  const keys = new Keys(kernel);
  keys.check(firstKeys);
  const applyKeys = (next: Keyring): KeyReload => {
    const change = keys.apply(next);
    kernel.withdrawKeys();
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
  const table = new ObservedTable(kernel.table, events);
  const sync = new Sync({ ...syncOptions(config), redis: access, table, log: syncLog(log) });
  // The program's clock is behind by up to a step, and by the fractions of a millisecond that it and Date.now() leave out; ahead
  // by as much, it never answers from a record that has expired, nor with more time than the record has.
  const aheadMs = coarseClockStepMs() + CLOCK_FRACTIONS_MS;
  const upkeep = new Upkeep(
    {
      setClockOffset: (ms) => kernel.setClockOffset(ms + aheadMs),
      addresses: () => addressesOf(config),
      setAddresses: (addresses) => kernel.setAddresses(addresses),
      reattach: () => kernel.reattach(listen.interfaces),
      isReady: () => sync.status().ready,
      takeOver: () => kernel.takeOver(),
    },
    systemRuntime,
    log,
  );

  const directory = new RedisDirectory(config, access);
  stops.push(() => directory.close());
  const addresses = () => upkeep.addresses;
  const gateway = new RunningGateway({
    config,
    kernel,
    sync,
    keys,
    reloadKeys,
    addresses,
    events,
    directory,
    runtime: systemRuntime,
  });
  const control = await startControl(config.control.socket, gateway, log, { http });
  stops.push(() => control.close());

  // Last, when nothing else can fail: until here nothing that an earlier daemon left answering is touched.
  inPart('the XDP program', () =>
    kernel.attach(listen.interfaces, () => {
      applyKeys(firstKeys);
      upkeep.begin();
      configure(kernel, config);
    }),
  );
  isStarted = true;
  reload = reloadKeys;
  if (isHungUp) onHangup();
  sync.start();
  stops.push(() => sync.stop());
  upkeep.start();
  stops.push(() => upkeep.stop());
  kernel.sweeper.start(
    () => systemRuntime.wallMs(),
    () => sync.suspect('clock-set-back'),
  );
  stops.push(() => kernel.sweeper.stop());
  giveBackProgramPages();
  manager.ready(() => sync.status().state);
  stops.push(() => manager.stopping());
  log.info({ socket: config.control.socket, pins: config.pins, adopted: kernel.adopted }, 'started');
}

function startKernel({ listen, pins, sessions }: Config, log: Logger): Datapath {
  return inPart('the kernel side', () => {
    return new Datapath({
      pins,
      capacity: sessions.capacity,
      object: GATEWAY_OBJECT,
      attach: attachRequest(listen.attach),
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

/** Writes what the program goes by, of which none depends on another. */
function configure(kernel: Datapath, { listen }: Config): void {
  const { settings } = kernel;
  kernel.setAllowed(listen.allow.map(networkBytes));
  settings.maxSkewMs = listen.maxSkewMs;
  settings.staleAfterMs = listen.staleAfterMs;
  settings.skewBudget = SKEW_BUDGET;
  settings.timedOneIn = TIMED_ONE_IN;
  settings.port = listen.port;
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

/** The configuration refuses `none` until there is a part for it. */
function attachRequest(attach: Config['listen']['attach']): AttachRequest {
  if (attach === 'native' || attach === 'generic' || attach === 'auto') return attach;
  throw new RangeError(`listen.attach: found ${attach}; allowed: auto, native, generic`);
}

function syncOptions({ redis, sessions, feed }: Config): Omit<SyncOptions, 'redis' | 'table' | 'log'> {
  const { prefix, backend } = sessions;
  return {
    names: redis.names,
    sessions: { prefix, backend },
    feed: { from: feed.from, stream: feed.stream, reconcileEveryMs: feed.reconcileEveryMs },
  };
}

function addressesOf({ listen }: Config): Uint8Array[] {
  if (listen.addresses.length > 0) return listen.addresses.map(addressBytes);
  const byIndex = interfaceAddresses();
  return listen.interfaces.flatMap((name) => byIndex.get(interfaceIndex(name)) ?? []);
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
