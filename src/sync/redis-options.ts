/**
 * From the configuration of Redis to ioredis's options. May be imported by every floor above.
 */
import type { RedisOptions } from 'ioredis';

/** What `new Redis` takes. */
export type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>;

export interface RedisConfig {
  /** `redis://host:port/db`, `rediss://…`, or `unix:///path?db=N` */
  readonly url: string;
  /** Goes before one in the URL. */
  readonly username?: string | null;
  /** Goes before one in the URL. */
  readonly password?: string | null;
  /** Node.js TLS options, as `ca`, `cert`, `key` and `servername`; only with `rediss:`. */
  readonly tls?: RedisOptions['tls'];
}

/** TCP, TLS and the connection's first commands, ms. */
export const CONNECT_TIMEOUT_MS = 5000;

/**
 * Options for one connection that lives until it is cut: ioredis neither connects again nor sends anything twice, which
 * would hide from the sync that it may have missed something. Whoever wants another connection opens another.
 * @param clientName shown by CLIENT LIST
 * @throws TypeError where the URL is not one
 * @throws RangeError where it has a protocol, a database or a parameter that is not supported
 */
export function redisOptions(config: RedisConfig, clientName: string): ConnectionOptions {
  if (!URL.canParse(config.url))
    throw new TypeError('redis.url: found text that is not a URL, allowed: redis://host:port');
  const url = new URL(config.url);
  const options: ConnectionOptions = {
    ...endpoint(url, config.tls),
    protocol: 2,
    lazyConnect: true,
    retryStrategy: null,
    maxRetriesPerRequest: null,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    connectionName: clientName,
    disableClientInfo: true,
  };
  const username = config.username ?? decodeURIComponent(url.username);
  const password = config.password ?? decodeURIComponent(url.password);
  if (username !== '') options.username = username;
  if (password !== '') options.password = password;
  return options;
}

function endpoint(url: URL, tls: RedisOptions['tls']): ConnectionOptions {
  for (const name of url.searchParams.keys()) {
    if (url.protocol !== 'unix:' || name !== 'db') {
      throw new RangeError(`redis.url: found parameter ${name}, allowed: none (db in a unix: URL)`);
    }
  }
  const tlsMismatch = tls !== undefined && url.protocol !== 'rediss:';
  if (tlsMismatch) throw new RangeError(`redis.tls: found with ${url.protocol}//, allowed: with rediss://`);
  if (url.protocol === 'unix:') {
    return { path: decodeURIComponent(url.pathname), db: database(url.searchParams.get('db') ?? '') };
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new RangeError(`redis.url: found protocol ${url.protocol}, allowed: redis:, rediss:, unix:`);
  }
  if (url.hostname === '') throw new RangeError('redis.url: found no host, allowed: redis://host:port');
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 6379 : Number(url.port),
    db: database(url.pathname.slice(1)),
    ...(url.protocol === 'rediss:' && { tls: tls ?? {} }),
  };
}

function database(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,5}$/.test(text))
    throw new RangeError('redis.url: found a database that is not a number, allowed: 0 to 99999');
  return Number(text);
}
