/**
 * What the gateway needs of Redis, looked at on each master, and the one thing that it sets there when asked to. May be
 * imported by src/gateway/commands/doctor.ts and tests.
 */
import { SyncError } from '../../sync/errors.ts';
import { EVENTS_SETTING, missingEvents, withNeededEvents } from '../../sync/notifications/keyspace-events.ts';
import { installedVersion, LIBRARY_NAME, LIBRARY_VERSION } from '../../sync/redis/functions.ts';
import type { RedisConfig } from '../../sync/redis/redis-options.ts';
import { type RedisMaster, redisTarget } from '../../sync/redis/redis-target.ts';
import { systemRuntime } from '../../sync/runtime.ts';
import type { Config } from '../config.ts';
import { reasonOf } from '../errors.ts';
import { type Check, fail, ok, warn } from './check.ts';

const REPLY_TIMEOUT_MS = 5000;
const VERSION_MIN = 7;
/** A clock that differs by this much answers from sessions too long, or not long enough, ms. */
const CLOCK_OFF_MS = 1000;
/** Masters that are looked at. */
const MASTERS_MAX = 100;

type Call = (command: string, ...args: string[]) => Promise<unknown>;

/** What Redis refuses this user is told as such. */
type Answer = { readonly reply: unknown } | { readonly refused: string };

export interface RedisExam {
  readonly config: Config;
  readonly access: RedisConfig;
  /** Add to notify-keyspace-events what is missing. */
  readonly setNotifications: boolean;
}

export async function checkRedis(exam: RedisExam): Promise<Check[]> {
  const stopping = new AbortController();
  try {
    const masters = await redisTarget(exam.access, systemRuntime).masters(stopping.signal);
    const checks: Check[] = [];
    for (const master of masters.slice(0, MASTERS_MAX)) {
      // Of several each check says which one it is of.
      const label = masters.length > 1 ? `redis ${master.id}` : 'redis';
      checks.push(...(await checkMaster(master, label, exam, stopping.signal)));
    }
    return checks;
  } catch (error) {
    return [unreachable('redis', error)];
  } finally {
    stopping.abort();
  }
}

async function checkMaster(master: RedisMaster, label: string, exam: RedisExam, signal: AbortSignal): Promise<Check[]> {
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
    return [unreachable(label, error)];
  }
}

function unreachable(label: string, error: unknown): Check {
  return fail(label, reasonOf(error), 'see that it runs, and that redis.url, user, password and TLS are right');
}

async function examine(label: string, { config, setNotifications }: RedisExam, call: Call): Promise<Check[]> {
  const info = await asked(call, 'INFO');
  const checks = 'refused' in info ? [refusedInfo(label, info.refused)] : checkInfo(label, String(info.reply), config);
  checks.push(await checkClock(`${label} clock`, call));
  checks.push(await checkLibrary(`${label} functions`, config, call));
  if (config.feed.from === 'notifications' || setNotifications) {
    if (setNotifications) await addEvents(call);
    checks.push(await checkEvents(`${label} notifications`, call));
  }
  return checks;
}

async function asked(call: Call, command: string, ...args: string[]): Promise<Answer> {
  try {
    return { reply: await call(command, ...args) };
  } catch (error) {
    if (error instanceof SyncError && error.code === 'REDIS_REFUSED') return { refused: error.message };
    throw error;
  }
}

function refusedInfo(label: string, refused: string): Check {
  const advice = 'version, role and eviction are not known: let this user call INFO, or see to them yourself';
  return warn(label, refused, advice);
}

function checkInfo(label: string, info: string, { feed }: Config): Check[] {
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const version = field('redis_version');
  const major = Number(version.split('.')[0]);
  const checks = [
    major >= VERSION_MIN
      ? ok(label, `version ${version}`)
      : fail(label, `version ${version}`, `use Redis ${VERSION_MIN}.0 or newer`),
  ];
  if (field('role') === 'master') checks.push(ok(`${label} role`, 'master'));
  else {
    const advice =
      'it takes no writes, and is behind its master: let redis.url lead to the master, or use redis.sentinel';
    checks.push(warn(`${label} role`, field('role'), advice));
  }
  checks.push(checkEviction(`${label} memory`, Number(field('maxmemory')), field('maxmemory_policy'), feed.from));
  return checks;
}

function checkEviction(name: string, maxBytes: number, policy: string, from: Config['feed']['from']): Check {
  if (maxBytes === 0 || policy === 'noeviction') return ok(name, `maxmemory ${maxBytes}, ${policy}`);
  const effect =
    from === 'stream'
      ? 'the gateway goes on answering for sessions that are evicted, until the next full comparison, and the feed itself may be evicted'
      : 'sessions that are evicted are lost';
  return warn(name, `maxmemory ${maxBytes}, ${policy}`, `${effect}: set maxmemory-policy noeviction`);
}

async function checkClock(name: string, call: Call): Promise<Check> {
  const sentMs = systemRuntime.wallMs();
  const answer = await asked(call, 'TIME');
  if ('refused' in answer)
    return warn(name, answer.refused, 'let this user call TIME, or see that both clocks are right');
  const [seconds, micros] = (answer.reply as unknown[]).map(Number);
  const redisMs = (seconds ?? 0) * 1000 + (micros ?? 0) / 1000;
  const aheadMs = Math.round(redisMs - (sentMs + systemRuntime.wallMs()) / 2);
  const found = `${Math.abs(aheadMs)} ms ${aheadMs < 0 ? 'behind' : 'ahead of'} this machine's`;
  if (Math.abs(aheadMs) <= CLOCK_OFF_MS) return ok(name, found);
  return warn(name, found, 'sessions end too early or too late by as much: run NTP on both');
}

async function checkLibrary(name: string, { feed }: Config, call: Call): Promise<Check> {
  const install = 'run: gateway redis install';
  const answer = await asked(call, 'FUNCTION', 'LIST', 'LIBRARYNAME', LIBRARY_NAME, 'WITHCODE');
  if ('refused' in answer)
    return warn(name, answer.refused, `let this user call FUNCTION, or as another user ${install}`);
  const version = installedVersion(answer.reply);
  if (version === null) {
    // Writers that are followed by notifications know nothing of it, and commands install it when they need it.
    if (feed.from === 'notifications') return ok(name, 'not installed; installed when a command needs them');
    return warn(name, 'not installed', install);
  }
  if (version < LIBRARY_VERSION) return warn(name, `version ${version}, older than ${LIBRARY_VERSION}`, install);
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

async function checkEvents(name: string, call: Call): Promise<Check> {
  const flags = await eventFlags(call);
  if ('refused' in flags) {
    const advice = `see that the service sends notifications, ${EVENTS_SETTING} with K and A, or Kg$hzxe`;
    return warn(name, flags.refused, advice);
  }
  const missing = missingEvents(flags.reply);
  const found = `${EVENTS_SETTING} "${flags.reply}"`;
  if (missing === '') return ok(name, found);
  const advice = `run gateway doctor --set-notifications, and put ${EVENTS_SETTING} ${withNeededEvents(flags.reply)} into redis.conf, of replicas too, else it is lost with a restart or a failover`;
  return fail(name, `${found}, without ${missing}`, advice);
}
