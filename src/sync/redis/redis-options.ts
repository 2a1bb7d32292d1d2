/**
 * From the configuration of Redis to ioredis's options. May be imported by every floor above.
 */
import type { RedisOptions } from 'ioredis';

/** What `new Redis` takes. */
export type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>;

/** Node.js TLS options, as `ca`, `cert`, `key` and `servername`. */
export type TlsOptions = NonNullable<RedisOptions['tls']>;

/** How one logs in; each connection asks anew. */
export interface RedisLogin {
  /** Null or absent: the default user. */
  readonly username?: string | null;
  readonly password?: string | null;
  /** Asked before each connection, since certificates are renewed. With a URL only where that is `rediss:`. */
  readonly tls?: (() => TlsOptions) | null;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** One server, or an address that leads to the one that is in charge. */
export interface RedisUrlConfig extends RedisLogin {
  /** `redis://host:port/db`, `rediss://…`, or `unix:///path?db=N`; user and password of the login go before its own. */
  readonly url: string;
}

/** A master and its replicas, watched by sentinels that know which is which. */
export interface RedisSentinelConfig extends RedisLogin {
  readonly sentinel: {
    /** What the sentinels call the master. */
    readonly name: string;
    readonly nodes: readonly HostPort[];
    readonly username?: string | null;
    readonly password?: string | null;
  };
}

export interface RedisClusterConfig extends RedisLogin {
  readonly cluster: {
    /** Some of its nodes; the others are learnt from them. */
    readonly nodes: readonly HostPort[];
  };
}

export type RedisConfig = RedisUrlConfig | RedisSentinelConfig | RedisClusterConfig;

/** TCP, TLS and the connection's first commands, ms. */
export const CONNECT_TIMEOUT_MS = 5000;

/**
 * Options for one connection that lives until it is cut: ioredis neither connects again nor sends anything twice, which
 * would hide from the sync that it may have missed something. Whoever wants another connection opens another.
 * @param clientName shown by CLIENT LIST
 * @throws TypeError where the URL is not one
 * @throws RangeError where it has a protocol, a database or a parameter that is not supported
 */
export function redisOptions(config: RedisUrlConfig, clientName: string): ConnectionOptions {
  if (!URL.canParse(config.url))
    throw new TypeError('redis.url: found text that is not a URL, allowed: redis://host:port');
  const url = new URL(config.url);
  return {
    ...endpoint(url, config.tls ?? null),
    ...common(clientName),
    ...login(config.username ?? decodeURIComponent(url.username), config.password ?? decodeURIComponent(url.password)),
  };
}

/** `host:port`, an IPv6 address in brackets. */
export function nodeId({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The same for a node that sentinels or a cluster name; its TLS is the login's. */
export function nodeOptions({ host, port }: HostPort, config: RedisLogin, clientName: string): ConnectionOptions {
  return {
    host,
    port,
    ...(config.tls && { tls: config.tls() }),
    ...common(clientName),
    ...login(config.username, config.password),
  };
}

function common(clientName: string): ConnectionOptions {
  return {
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
}

function login(username: string | null | undefined, password: string | null | undefined): ConnectionOptions {
  return { ...(username && { username }), ...(password && { password }) };
}

function endpoint(url: URL, tls: (() => TlsOptions) | null): ConnectionOptions {
  for (const name of url.searchParams.keys()) {
    if (url.protocol !== 'unix:' || name !== 'db') {
      throw new RangeError(`redis.url: found parameter ${name}, allowed: none (db in a unix: URL)`);
    }
  }
  const tlsMismatch = tls !== null && url.protocol !== 'rediss:';
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
    ...(url.protocol === 'rediss:' && { tls: tls?.() ?? {} }),
  };
}

function database(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,5}$/.test(text))
    throw new RangeError('redis.url: found a database that is not a number, allowed: 0 to 99999');
  return Number(text);
}
