/** From a NOTIFY's arguments to the variables that HAProxy gets. May be imported by src/gateway/spoe only. */
import { type CookieLookupResult, cookieValue } from '../../client/index.ts';
import type { Value } from './bytes.ts';
import type { Variables } from './connection.ts';

export interface Lookups {
  lookup(sessionId: string): Promise<CookieLookupResult>;
  lookupCookie(cookieValue: string | undefined): Promise<CookieLookupResult>;
}

/**
 * The argument `cookies` is a request's Cookie header, `sid` a session id as it is; `sid` goes first.
 * @param cookie name of the session's
 * @returns `status` always; `backend` (its id) and `address` where there is one to go to
 */
export async function answer(client: Lookups, cookie: string, found: ReadonlyMap<string, Value>): Promise<Variables> {
  const sid = found.get('sid');
  const cookies = found.get('cookies');
  const result =
    typeof sid === 'string' && sid !== ''
      ? await client.lookup(sid)
      : await client.lookupCookie(typeof cookies === 'string' ? cookieValue(cookies, cookie) : undefined);
  const { status, backend, address, port } = result;
  const variables: (readonly [string, string | number])[] = [['status', status]];
  if (backend !== null) variables.push(['backend', backend]);
  if (address !== null && port !== null) {
    variables.push(['address', address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`]);
  }
  return variables;
}
