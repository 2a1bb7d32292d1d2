/**
 * Everything that `gateway doctor` looks at, in its order: the machine, files, pins, interfaces, ports, the daemon, Redis. Works with daemon
 * and Redis away, ends within a bounded time, and changes nothing but what it is asked to. May be imported by src/gateway/commands/doctor.ts and
 * tests.
 */
import { readFileSync } from 'node:fs';
import { type Runtime, sleep } from '../../sync/runtime.ts';
import type { Config } from '../config.ts';
import { askDaemon } from '../control/client.ts';
import { GatewayError, reasonOf } from '../errors.ts';
import type { Status } from '../ports.ts';
import { redisAccess } from '../redis-access.ts';
import { checkBackends } from './backends.ts';
import { checkDaemon, type DaemonAnswer } from './daemon.ts';
import { checkFiles } from './files.ts';
import { type Finding, finding } from './finding.ts';
import { checkInterfaces } from './interfaces.ts';
import { checkKernelSide, checkMachineClock } from './machine.ts';
import { checkPins } from './pins.ts';
import { checkPorts } from './ports.ts';
import { checkRedis } from './redis.ts';

const DAEMON_TIMEOUT_MS = 3_000;
/** Between two looks at what the daemon counts. */
const BETWEEN_MS = 1_000;

export interface ExamineOptions {
  /** Add to notify-keyspace-events of Redis what is missing. */
  readonly setNotifications: boolean;
}

export async function examine(config: Config, options: ExamineOptions, runtime: Runtime): Promise<Finding[]> {
  const first = await askStatus(config);
  const status = 'error' in first ? undefined : first.status;
  const [daemon, redis] = await Promise.all([askAgain(config, first, runtime), examineRedis(config, options, status)]);
  const pid = status === undefined ? undefined : visibleDaemon(status.pid);
  // Without the XDP program, what only that needs doesn't matter.
  const isInKernel = config.listen.attach !== 'none';
  return [
    ...(isInKernel ? checkKernelSide(config, status !== undefined, pid) : []),
    ...checkMachineClock(),
    ...checkFiles(config, status?.keys, runtime.wallMs()),
    ...(isInKernel ? checkPins(config) : []),
    ...checkInterfaces(config, status?.interfaces),
    ...checkPorts(config, { answers: status !== undefined, pid }),
    ...checkDaemon(config, daemon, pid),
    ...redis,
  ];
}

/** The daemon's process, where it is one of those that can be seen from here: it may be in a container. */
function visibleDaemon(pid: number): number | undefined {
  try {
    const [, ...words] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.includes('run') && words.some((word) => /\/main\.[jt]s$/.test(word)) ? pid : undefined;
  } catch {
    return undefined;
  }
}

type FirstAnswer = { readonly status: Status } | { readonly error: unknown };

async function askStatus({ control }: Config): Promise<FirstAnswer> {
  try {
    const answer = await askDaemon(control.socket, { method: 'GET', path: '/v1/status' }, DAEMON_TIMEOUT_MS);
    return { status: answer as Status };
  } catch (error) {
    return { error };
  }
}

async function askAgain(config: Config, first: FirstAnswer, runtime: Runtime): Promise<DaemonAnswer> {
  if ('error' in first) return first;
  await sleep(runtime, BETWEEN_MS, new AbortController().signal);
  const again = await askStatus(config);
  return 'error' in again ? again : { before: first.status, now: again.status };
}

async function examineRedis(config: Config, options: ExamineOptions, status: Status | undefined): Promise<Finding[]> {
  try {
    const access = redisAccess(config);
    const findings = await checkRedis({ config, access, status, ...options });
    const isReached = !findings.some(({ code }) => code === 'redis-unreachable');
    return isReached ? [...findings, ...(await checkBackends(config, access))] : findings;
  } catch (error) {
    // Files of passwords or certificates.
    if (!(error instanceof GatewayError)) throw error;
    return [finding('redis-unreachable', 'redis', reasonOf(error))];
  }
}
