/**
 * The package's entry `session-gateway/client`: asks gateways over UDP where the user behind a session cookie belongs
 * (docs/protocol.md). May be imported by anyone.
 *
 * ```js
 * import { cookieValue, createLookupClient, readKey } from 'session-gateway/client';
 *
 * const client = createLookupClient({
 *   servers: [{ host: '10.0.0.5' }, { host: '10.0.0.6' }],
 *   key: await readKey('/etc/load-balancer/gateway-keys.yaml'),
 *   cookieTransform: 'express',
 * });
 *
 * const result = await client.lookupCookie(cookieValue(request.headers.cookie, 'connect.sid'));
 * if (result.status === 'DENIED') refuse();
 * else if (result.port !== null) forwardTo(result.address, result.port); // FOUND, or placed by NOT_FOUND
 * else balanceAsUsual(); // nothing known, no gateway answered, …
 * ```
 *
 * A lookup never fails: within `timeoutMs` it has a result, whatever gateways and networks do.
 */
export { AuthError, KeyFileError } from '../auth/errors.ts';
export { Key } from '../auth/keyring.ts';
export type { Suite } from '../auth/suites.ts';
export { type KeyParts, readKey } from './client-key.ts';
export { cookieValue } from './cookies.ts';
export type { Environment, ResolvedHost } from './environment.ts';
export { type CallOptions, type ClientStats, createLookupClient, type LookupClient } from './lookup-client.ts';
export { DEFAULT_PORT, DEFAULT_TIMEOUT_MS, type LookupClientOptions, type ServerAddress } from './options.ts';
export type { UnreachableReason } from './outcome.ts';
export type {
  AnsweredBatch,
  BatchEntry,
  BatchResult,
  ClockSkew,
  CookieLookupResult,
  Denied,
  FactResult,
  Found,
  LookupResult,
  NoSession,
  NotFound,
  NotReady,
  Unreachable,
} from './results.ts';
export type { ServerStats } from './server-stats.ts';
export type { CookieTransform, CookieTransformFunction, CookieTransformName } from './transforms.ts';
