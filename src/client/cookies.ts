/**
 * From a request's Cookie header to one cookie's value, as the `cookie` package and so Express reads it: a load balancer that
 * takes another one than the application does asks about another session. May be imported by src/client and the floors above.
 */

/**
 * @param header as it came; several are joined by "; " (RFC 9110, section 5.3, which Node.js does)
 * @param name as it is: upper and lower case differ (RFC 6265, section 5.4)
 * @returns of several cookies of that name the first, which browsers send for the longest path; without spaces, tabs and a pair of quotes
 *   around it, otherwise as it came; undefined where there is none
 */
export function cookieValue(header: string | undefined, name: string): string | undefined {
  for (const part of header?.split(';') ?? []) {
    const at = part.indexOf('=');
    if (at < 0 || trimmed(part.slice(0, at)) !== name) continue;
    const value = trimmed(part.slice(at + 1));
    return value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  }
  return undefined;
}

/** Without spaces and tabs; String.trim takes more away. */
function trimmed(text: string): string {
  return text.replace(/^[ \t]+/, '').replace(/(?<![ \t])[ \t]+$/, '');
}
