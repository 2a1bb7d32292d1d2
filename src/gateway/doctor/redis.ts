/**
 * What the gateway needs of Redis, looked at on each master, and the one thing that it sets there when asked to. May be
 * imported by src/gateway/commands/doctor.ts and tests.
 */
import { EVENTS_SETTING, missingEvents, withNeededEvents } from '../../sync/notifications/keyspace-events.ts';
import { installedVersion, LIBRARY_NAME, LIBRARY_VERSION } from '../../sync/redis/functions.ts';
import type { RedisConfig } from '../../sync/redis/redis-options.ts';
import { type RedisMaster, redisTarget } from '../../sync/redis/redis-target.ts';
import { systemRuntime } from '../../sync/runtime.ts';
import type { Config } from '../config.ts';
import { reasonOf } from '../errors.ts';
import type { Status } from '../ports.ts';
import { checkFeed } from './feed.ts';
import { type Finding, finding, ok } from './finding.ts';
import { asked, type Call } from './redis-call.ts';

const REPLY_TIMEOUT_MS = 5_000;
/** All of it, on all masters. */
const WHOLE_TIMEOUT_MS = 20_000;
const VERSION_MIN = 7;
/** A clock that differs by this much answers from sessions too long, or not long enough, ms. */
const CLOCK_OFF_MS = 1_000;
/** Masters that are looked at. */
const MASTERS_MAX = 100;
/** Of maxmemory. */
const MEMORY_SHORT = 0.9;

export interface RedisExam {
  readonly config: Config;
  readonly access: RedisConfig;
  /** Add to notify-keyspace-events what is missing. */
  readonly setNotifications: boolean;
  /** What the daemon says; undefined where none answers. */
  readonly status: Status | undefined;
}

export async function checkRedis(exam: RedisExam): Promise<Finding[]> {
  const stopping = new AbortController();
  const bound = setTimeout(() => stopping.abort(), WHOLE_TIMEOUT_MS);
  try {
    const masters = await redisTarget(exam.access, systemRuntime).masters(stopping.signal);
    const findings: Finding[] = [];
    for (const master of masters.slice(0, MASTERS_MAX)) {
      // Of several each finding says which one it is of.
      const label = masters.length > 1 ? `redis ${master.id}` : 'redis';
      findings.push(...(await checkMaster(master, label, exam, stopping.signal)));
    }
    return findings;
  } catch (error) {
    return [finding('redis-unreachable', 'redis', reasonOf(error))];
  } finally {
    clearTimeout(bound);
    stopping.abort();
  }
}

async function checkMaster(
  master: RedisMaster,
  label: string,
  exam: RedisExam,
  signal: AbortSignal,
): Promise<Finding[]> {
  try {
    const connection = await master.open('session-gateway-doctor', signal);
    try {
      return await examine(label, exam, (command, ...args) => {
        connection.expectReplyWithin(REPLY_TIMEOUT_MS);
        return connection.call(command, ...args);
      });
    } finally {
      connection.drop();
    }
  } catch (error) {
    return [finding('redis-unreachable', label, reasonOf(error))];
  }
}

async function examine(label: string, exam: RedisExam, call: Call): Promise<Finding[]> {
  const { config, setNotifications, status } = exam;
  const info = await asked(call, 'INFO');
  const findings =
    'refused' in info
      ? [finding('redis-info-refused', label, info.refused)]
      : await checkInfo(label, String(info.reply), config, call);
  findings.push(await checkClock(`${label} clock`, call));
  findings.push(await checkLibrary(`${label} functions`, config, call));
  if (config.feed.from === 'stream')
    findings.push(...(await checkFeed(`${label} feed`, config.feed.stream, call, status)));
  if (config.feed.from === 'notifications' || setNotifications) {
    if (setNotifications) await addEvents(call);
    findings.push(await checkEvents(`${label} notifications`, call));
  }
  findings.push(await checkRights(`${label} rights`, config, call));
  return findings;
}

/** The value of a setting; undefined where this user may not ask, or there is none. */
async function setting(call: Call, name: string): Promise<string | undefined> {
  const answer = await asked(call, 'CONFIG', 'GET', name);
  const [, value] = 'reply' in answer && Array.isArray(answer.reply) ? answer.reply : [];
  return value === undefined ? undefined : String(value);
}

async function checkInfo(label: string, info: string, { feed }: Config, call: Call): Promise<Finding[]> {
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const version = field('redis_version');
  const isNewEnough = Number(version.split('.')[0]) >= VERSION_MIN;
  const role = field('role');
  const memory = {
    maxBytes: Number(field('maxmemory')),
    usedBytes: Number(field('used_memory')),
    policy: field('maxmemory_policy'),
  };
  const found = `version ${version}`;
  return [
    isNewEnough ? ok(label, found) : finding('redis-old', label, found, { least: `${VERSION_MIN}.0` }),
    role === 'master' ? ok(`${label} role`, role) : finding('redis-replica', `${label} role`, role),
    checkMemory(`${label} memory`, memory),
    checkPersistence(`${label} persistence`, field, await setting(call, 'save')),
    ...(role === 'master' && feed.from === 'stream'
      ? [checkReplicas(`${label} replicas`, field, await setting(call, 'min-replicas-to-write'))]
      : []),
  ];
}

export function checkMemory(
  name: string,
  { maxBytes, usedBytes, policy }: { maxBytes: number; usedBytes: number; policy: string },
): Finding {
  const found = `maxmemory ${maxBytes}, ${policy}`;
  if (maxBytes === 0) return ok(name, found);
  if (policy.startsWith('allkeys-')) return finding('redis-evicts-all', name, found);
  if (policy !== 'noeviction') return finding('redis-evicts-sessions', name, found);
  if (usedBytes < maxBytes * MEMORY_SHORT) return ok(name, found);
  return finding('redis-memory-short', name, `${found}, ${usedBytes} used`);
}

type Field = (name: string) => string;

/** @param save the setting; undefined where it can't be asked for */
export function checkPersistence(name: string, field: Field, save: string | undefined): Finding {
  const isAppending = field('aof_enabled') === '1';
  const writes = isAppending ? field('aof_last_write_status') : field('rdb_last_bgsave_status');
  const what = isAppending ? 'append-only file' : 'snapshots';
  if (!isAppending && save === '')
    return finding('redis-not-persistent', name, 'neither append-only file nor snapshots');
  if (writes !== '' && writes !== 'ok')
    return finding('redis-persistence-fails', name, `${what}, the last one: ${writes}`);
  // What INFO says of the last snapshot is true of one for a replica too, and "ok" where there never was any.
  if (!isAppending && save === undefined)
    return finding('redis-persistence-unknown', name, 'no append-only file; CONFIG GET save has no answer');
  return ok(name, what);
}

/** @param setting min-replicas-to-write; undefined where it can't be asked for */
export function checkReplicas(name: string, field: Field, setting: string | undefined): Finding {
  const connected = Number(field('connected_slaves'));
  const inStep = field('min_slaves_good_slaves');
  // INFO has how many are in step only where that is heeded: set, to 1 at least, and min-replicas-max-lag too.
  const least = inStep === '' ? 0 : Number(setting ?? 1);
  const good = least > 0 ? Number(inStep) : connected;
  const found = `${connected} connected${least > 0 ? `, ${good} of at least ${least} in step` : ''}`;
  if (good < least) return finding('redis-replicas-short', name, found);
  if (connected === 0) return finding('redis-no-replica', name, found);
  return setting === '0' ? finding('redis-replicas-unheeded', name, found) : ok(name, found);
}

async function checkClock(name: string, call: Call): Promise<Finding> {
  const sentMs = systemRuntime.wallMs();
  const answer = await asked(call, 'TIME');
  if ('refused' in answer) return finding('redis-time-refused', name, answer.refused);
  const [seconds, micros] = (answer.reply as unknown[]).map(Number);
  const redisMs = (seconds ?? 0) * 1000 + (micros ?? 0) / 1000;
  const aheadMs = Math.round(redisMs - (sentMs + systemRuntime.wallMs()) / 2);
  const found = `${Math.abs(aheadMs)} ms ${aheadMs < 0 ? 'behind' : 'ahead of'} this machine's`;
  return Math.abs(aheadMs) <= CLOCK_OFF_MS ? ok(name, found) : finding('redis-clock-off', name, found);
}

/** Reads that the daemon does (docs/redis.md, "Access control"), of next to nothing. */
function reads({ redis, sessions, feed }: Config): readonly [command: string, ...args: string[]][] {
  const { names } = redis;
  const session = `${sessions.prefix}doctor`;
  return [
    ['EVAL_RO', 'return 1', '0'],
    ['EVALSHA_RO', '0'.repeat(40), '0'],
    ['SCAN', '0', 'MATCH', session, 'COUNT', '1'],
    ['PEXPIRETIME', session],
    ...(sessions.backend.in === 'hash'
      ? ([['HGET', session, sessions.backend.field]] as [string, ...string[]][])
      : ([
          ['STRLEN', session],
          ['GET', session],
        ] as [string, ...string[]][])),
    ['HLEN', `${names}backends`],
    ['HKEYS', `${names}fact-ids`],
    ['HSTRLEN', `${names}backends`, 'doctor'],
    ['ZCARD', `${names}denied`],
    ['ZSCAN', `${names}denied`, '0', 'COUNT', '1'],
    ...(feed.from === 'stream'
      ? ([
          ['XREAD', 'COUNT', '1', 'STREAMS', feed.stream, '$'],
          ['XRANGE', feed.stream, '0', '0', 'COUNT', '1'],
          ...(sessions.onMiss === 'ask-redis' ? [['XREVRANGE', feed.stream, '0', '0', 'COUNT', '1']] : []),
        ] as [string, ...string[]][])
      : []),
    // Last: where MULTI is allowed and EXEC isn't, nothing is carried out any more.
    ['MULTI'],
    ['EXEC'],
  ];
}

async function checkRights(name: string, config: Config, call: Call): Promise<Finding> {
  const refused: string[] = [];
  for (const [command, ...args] of reads(config)) {
    const answer = await asked(call, command, ...args);
    // What is wrong with the key itself is told elsewhere.
    if ('refused' in answer && answer.refused.includes('NOPERM')) refused.push(command);
  }
  if (refused.length === 0) return ok(name, 'what the daemon reads is allowed');
  return finding('redis-rights-missing', name, `Redis refuses ${refused.join(', ')}, or the keys that they read`);
}

async function checkLibrary(name: string, { feed }: Config, call: Call): Promise<Finding> {
  const answer = await asked(call, 'FUNCTION', 'LIST', 'LIBRARYNAME', LIBRARY_NAME, 'WITHCODE');
  if ('refused' in answer) return finding('functions-unknown', name, answer.refused);
  const version = installedVersion(answer.reply);
  if (version === null) {
    // Writers that are followed by notifications know nothing of it, and commands install it when they need it.
    if (feed.from === 'notifications') return ok(name, 'not installed; installed when a command needs them');
    return finding('functions-missing', name, 'not installed');
  }
  if (version < LIBRARY_VERSION)
    return finding('functions-old', name, `version ${version}, older than ${LIBRARY_VERSION}`);
  return ok(name, `version ${version}`);
}

/** Adds to the setting, and takes nothing away. @throws SyncError */
async function addEvents(call: Call): Promise<void> {
  const flags = await eventFlags(call);
  if ('refused' in flags || missingEvents(flags.reply) === '') return;
  await asked(call, 'CONFIG', 'SET', EVENTS_SETTING, withNeededEvents(flags.reply));
}

async function eventFlags(call: Call): Promise<{ readonly reply: string } | { readonly refused: string }> {
  const answer = await asked(call, 'CONFIG', 'GET', EVENTS_SETTING);
  if ('refused' in answer) return answer;
  const [, flags] = Array.isArray(answer.reply) ? answer.reply : [];
  return flags === undefined ? { refused: `CONFIG GET ${EVENTS_SETTING}: found nothing` } : { reply: String(flags) };
}

async function checkEvents(name: string, call: Call): Promise<Finding> {
  const flags = await eventFlags(call);
  if ('refused' in flags) return finding('notifications-unknown', name, flags.refused);
  const missing = missingEvents(flags.reply);
  const found = `${EVENTS_SETTING} "${flags.reply}"`;
  if (missing === '') return ok(name, found);
  const setting = `${EVENTS_SETTING} ${withNeededEvents(flags.reply)}`;
  return finding('notifications-missing', name, `${found}, without ${missing}`, { setting });
}
