/**
 * The client's options: what each is for, its unit and default, and their checks. May be imported by src/client.
 */
import { requireInteger } from '../auth/bytes.ts';
import { Key } from '../auth/keyring.ts';
import { type KeyParts, keyFromParts } from './client-key.ts';
import { type CookieTransform, type CookieTransformFunction, cookieTransforms } from './transforms.ts';

export interface ServerAddress {
  /**
   * IP literal or host name. A name is resolved when the client is created, to one address; again only when the socket is
   * replaced, which happens after errors and long silence. Where nobody resolves it then, its last address stays.
   */
  readonly host: string;
  /** UDP port, 1 to 65535. Default 6464. */
  readonly port?: number | undefined;
}

export interface LookupClientOptions {
  /** The gateways, 1 to 64. Any of them can answer any lookup. */
  readonly servers: readonly ServerAddress[];
  /** The key to ask with. A `Key` stays the caller's, and must not be wiped before the client is closed. */
  readonly key: Key | KeyParts;
  /** Most time that a whole lookup may take, all tries together, in ms: 1 to 60000. Default 20. */
  readonly timeoutMs?: number | undefined;
  /**
   * How long one try may stay unanswered before the next gateway is asked, in ms: 1 to `timeoutMs`. A reply that comes later
   * still counts, until the lookup ends. Default: `timeoutMs` divided by the number of gateways, but at least by 2 and at
   * most by 4, rounded up.
   */
  readonly tryTimeoutMs?: number | undefined;
  /**
   * After this long without an answer a second gateway is asked as well, once in a lookup, without giving up the first: it
   * costs more requests and cuts the slowest lookups. In ms, 1 up to below `tryTimeoutMs`. Default null: never.
   */
  readonly hedgeAfterMs?: number | null | undefined;
  /**
   * true: each lookup begins with the next gateway in turn. false: with the first in the list that is not in trouble, as
   * where the list begins with the nearest. Default true.
   */
  readonly spread?: boolean | undefined;
  /** How `lookupCookie` gets the session id out of a cookie's value. Default 'raw': the value is the id. */
  readonly cookieTransform?: CookieTransform | undefined;
  /** Most lookups, batches and facts under way at once, 1 to 1000000; one more is UNREACHABLE at once. Default 16384. */
  readonly maxInFlight?: number | undefined;
}

/** Options with their defaults, checked. */
export interface Settings {
  readonly servers: readonly Required<Readonly<{ host: string; port: number }>>[];
  readonly key: Key;
  /** The client made the key, and wipes it. */
  readonly ownsKey: boolean;
  readonly timeoutMs: number;
  readonly tryTimeoutMs: number;
  readonly hedgeAfterMs: number | null;
  readonly spread: boolean;
  readonly cookieTransform: CookieTransformFunction;
  readonly maxInFlight: number;
}

export const DEFAULT_PORT = 6464;
export const DEFAULT_TIMEOUT_MS = 20;
const DEFAULT_MAX_IN_FLIGHT = 16_384;
const SERVERS_MAX = 64;
const TIMEOUT_MAX_MS = 60_000;
const IN_FLIGHT_MAX = 1_000_000;
/** Longest host name, RFC 1035, section 2.3.4. */
const HOST_MAX = 253;

const NAMES: readonly string[] = [
  'servers',
  'key',
  'timeoutMs',
  'tryTimeoutMs',
  'hedgeAfterMs',
  'spread',
  'cookieTransform',
  'maxInFlight',
] satisfies (keyof LookupClientOptions)[];

/** @throws TypeError or RangeError for an option of the wrong type or value */
export function settingsFrom(options: LookupClientOptions): Settings {
  requireObject('options', options);
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name)) throw new TypeError(`options: found ${name}, allowed: ${NAMES.join(', ')}`);
  }
  const servers = serversFrom(options.servers);
  const { timeoutMs = DEFAULT_TIMEOUT_MS, hedgeAfterMs = null, spread = true } = options;
  const { maxInFlight = DEFAULT_MAX_IN_FLIGHT } = options;
  requireInteger('timeoutMs', timeoutMs, 1, TIMEOUT_MAX_MS);
  const tryTimeoutMs = options.tryTimeoutMs ?? Math.ceil(timeoutMs / Math.min(Math.max(servers.length, 2), 4));
  requireInteger('tryTimeoutMs', tryTimeoutMs, 1, timeoutMs);
  if (hedgeAfterMs !== null) requireInteger('hedgeAfterMs', hedgeAfterMs, 1, tryTimeoutMs - 1);
  if (typeof spread !== 'boolean') throw new TypeError(`spread: found ${typeof spread}, allowed: true or false`);
  requireInteger('maxInFlight', maxInFlight, 1, IN_FLIGHT_MAX);
  const cookieTransform = transformFrom(options.cookieTransform ?? 'raw');
  requireObject('key', options.key);
  const ownsKey = !(options.key instanceof Key);
  const key = options.key instanceof Key ? options.key : keyFromParts(options.key);
  return { servers, key, ownsKey, timeoutMs, tryTimeoutMs, hedgeAfterMs, spread, cookieTransform, maxInFlight };
}

function serversFrom(servers: LookupClientOptions['servers']): Settings['servers'] {
  if (!Array.isArray(servers)) throw new TypeError(`servers: found ${typeof servers}, allowed: a list`);
  requireInteger('servers.length', servers.length, 1, SERVERS_MAX);
  const seen = new Set<string>();
  return Array.from<ServerAddress, Settings['servers'][number]>(servers, (server, i) => {
    requireObject(`servers[${i}]`, server);
    const { host, port = DEFAULT_PORT } = server;
    if (typeof host !== 'string') throw new TypeError(`servers[${i}].host: found ${typeof host}, allowed: a string`);
    if (host === '' || host.length > HOST_MAX || /[\s[\]]/.test(host)) {
      throw new RangeError(
        `servers[${i}].host: found ${JSON.stringify(host.slice(0, HOST_MAX))}, allowed: an IP literal without brackets, or a host name`,
      );
    }
    requireInteger(`servers[${i}].port`, port, 1, 0xffff);
    const twin = `${port} ${host.toLowerCase()}`;
    if (seen.has(twin)) throw new RangeError(`servers[${i}]: found ${host} port ${port} again, allowed: each once`);
    seen.add(twin);
    return { host, port };
  });
}

function transformFrom(transform: CookieTransform): CookieTransformFunction {
  if (typeof transform === 'function') return transform;
  const names = Object.keys(cookieTransforms).join(', ');
  if (typeof transform !== 'string') {
    throw new TypeError(`cookieTransform: found ${typeof transform}, allowed: a function or one of ${names}`);
  }
  if (!Object.hasOwn(cookieTransforms, transform)) {
    throw new RangeError(`cookieTransform: found ${JSON.stringify(transform)}, allowed: a function or one of ${names}`);
  }
  return cookieTransforms[transform];
}

function requireObject(field: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`${field}: found ${value === null ? 'null' : typeof value}, allowed: an object`);
  }
}
