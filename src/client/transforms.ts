/**
 * From a cookie's value to the session id inside: what applications wrap around it is taken off (docs/protocol.md,
 * "Names"). May be imported by src/client and the floors above.
 *
 * A cookie comes from anyone, so nothing here throws for what it holds. No signature is verified: that takes the
 * application's own secret, and stays with the application.
 */

/** @returns the session id as text or raw bytes; nothing where the value is not such a cookie. Must not throw. */
export type CookieTransformFunction = (cookieValue: string) => string | Uint8Array | null | undefined;

export type CookieTransformName = 'raw' | 'express' | 'base64';

export type CookieTransform = CookieTransformName | CookieTransformFunction;

/** The longest value that is looked at; RFC 6265, section 6.1, asks browsers to keep no longer ones. */
export const COOKIE_VALUE_MAX = 4096;

export const cookieTransforms: Readonly<Record<CookieTransformName, CookieTransformFunction>> = {
  raw,
  express,
  base64,
};

/** The value is the session id. */
function raw(value: string): string | undefined {
  return value !== '' && value.isWellFormed() ? value : undefined;
}

/**
 * express-session's cookie, `s:` session id `.` signature (cookie-signature), URL-encoded or already decoded.
 * The id may have dots, the signature has none.
 */
function express(value: string): string | undefined {
  const decoded = percentDecode(value);
  if (decoded === undefined || !decoded.startsWith('s:')) return undefined;
  const dot = decoded.lastIndexOf('.');
  if (dot === decoded.length - 1) return undefined;
  const sessionId = decoded.slice(2, Math.max(dot, 2));
  return raw(sessionId);
}

/**
 * The session id's bytes in base64, RFC 4648, section 4 or 5, padded or not, URL-encoded or not. Other characters than the
 * alphabet's and bits that no encoder leaves make it malformed.
 */
function base64(value: string): Uint8Array | undefined {
  const decoded = percentDecode(value);
  if (decoded === undefined) return undefined;
  const digits = decoded.replace(/={1,2}$/, '');
  if (digits.length !== decoded.length && decoded.length % 4 !== 0) return undefined;
  const bytes = Buffer.from(digits, 'base64url');
  // Buffer skips what it doesn't know; writing it again shows whether there was any.
  const again = bytes.toString('base64url');
  const isCanonical = again === digits.replaceAll('+', '-').replaceAll('/', '_');
  return isCanonical && bytes.length > 0 ? new Uint8Array(bytes) : undefined;
}

function percentDecode(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}

/** The session id in a cookie's value, or undefined where there is none. */
export function sessionIdIn(value: string, transform: CookieTransformFunction): string | Uint8Array | undefined {
  if (value.length > COOKIE_VALUE_MAX) return undefined;
  const sessionId = transform(value);
  return sessionId === null || sessionId === undefined || sessionId.length === 0 ? undefined : sessionId;
}
