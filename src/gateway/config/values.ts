/**
 * The single values that stand in the configuration file: what each may be. Imported by schema.ts alone.
 *
 * The `error` of each schema says what is allowed; what was found is added where problems are reported (problems.ts).
 */
import { resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';

/** Longest interface name: IFNAMSIZ - 1 (linux/if.h). */
const INTERFACE_NAME_MAX = 15;
/** What dev_valid_name (net/core/dev.c) refuses: white space, '/' and ':'. */
const INTERFACE_NAME_REFUSED = /[\s/:\0]/;
const TEXT_MAX = 200;
/** Where the kernel keeps IPv4: ::ffff:0:0/96 (RFC 4291, section 2.5.5.2). */
const MAPPED_NETWORK = ipaddr.IPv6.parseCIDR('::ffff:0:0/96');

/** A whole number, `min` to `max`, both inclusive. */
export function integer(min: number, max: number, unit = ''): z.ZodType<number> {
  const error = `a whole number${unit === '' ? '' : ` of ${unit}`}, ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function flag(): z.ZodType<boolean> {
  return z.boolean({ error: 'true or false' });
}

/** Text that names something in Redis: no white space, no control characters. */
export function redisName(): z.ZodType<string> {
  const error = `text of 1 to ${TEXT_MAX} characters without white space`;
  return z
    .string({ error })
    .min(1, { error })
    .max(TEXT_MAX, { error })
    .regex(/^[^\s\p{Cc}]*$/u, { error });
}

/** A name that a certificate has and that TLS can send (RFC 6066, section 3: not an IP address). */
export function serverName(): z.ZodType<string> {
  const error =
    'a host name, not an IP address: without it the host that is connected to is what the certificate must have';
  return redisName().refine((name) => !ipaddr.isValid(name), { error });
}

/** Where something stands in a JSON document. */
export function jsonPath(): z.ZodType<string> {
  const error = 'names joined by dots, as backend or route.backend';
  return redisName().refine((path) => !path.split('.').includes(''), { error });
}

/** A path; a relative one is made absolute from the folder of the configuration file. */
export function path(folder: string): z.ZodType<string> {
  const error = 'the path of a file, relative ones from the folder of this file';
  return z
    .string({ error })
    .regex(/^[^\0]+$/, { error })
    .transform((text) => resolve(folder, text));
}

export function oneOf<const T extends readonly [string, ...string[]]>(...values: T): z.ZodType<T[number]> {
  return z.custom<T[number]>((found) => values.some((value) => value === found), { error: values.join(', ') });
}

export function interfaceName(): z.ZodType<string> {
  const error = `the name of a network interface: 1 to ${INTERFACE_NAME_MAX} bytes without white space, "/" and ":", not "." or ".."`;
  return z.string({ error }).refine(isInterfaceName, { error });
}

function isInterfaceName(name: string): boolean {
  const bytes = Buffer.byteLength(name);
  return (
    bytes >= 1 && bytes <= INTERFACE_NAME_MAX && name !== '.' && name !== '..' && !INTERFACE_NAME_REFUSED.test(name)
  );
}

/** An IP address that a host can have, in its usual spelling (RFC 5952). */
export function hostAddress(): z.ZodType<string> {
  const error =
    'an IPv4 or IPv6 address of one host, without port, prefix length and zone, as 192.0.2.1 or 2001:db8::1';
  return z.string({ error }).transform((text, context) => {
    const address = parseAddress(text);
    const range = address?.range();
    if (address === undefined || range === 'unspecified' || range === 'multicast' || range === 'broadcast') {
      context.addIssue({ code: 'custom', message: error, input: text });
      return z.NEVER;
    }
    return address.toString();
  });
}

/** A network in its usual spelling, its host bits zero. */
export function cidr(): z.ZodType<string> {
  const error = 'a network, IPv4 or IPv6, as 10.0.0.0/8 or 2001:db8::/32; a single address is 192.0.2.1/32';
  return z.string({ error }).transform((text, context) => {
    const refuse = (message: string): never => {
      context.addIssue({ code: 'custom', message, input: text });
      return z.NEVER;
    };
    const [address, prefix, ...rest] = text.split('/');
    const parsed = address === undefined ? undefined : parseAddress(address);
    if (parsed === undefined || prefix === undefined || rest.length > 0 || !/^\d{1,3}$/.test(prefix))
      return refuse(error);
    const bits = Number(prefix);
    const bytes = parsed.toByteArray();
    if (bits > bytes.length * 8) return refuse(`a prefix length of at most ${bytes.length * 8} for this address`);
    const network = ipaddr.fromByteArray(bytes.map((byte, i) => byte & (0xff00 >> clamp(bits - 8 * i, 0, 8))));
    if (network.toString() !== parsed.toString()) {
      return refuse(
        `zeros after the first ${bits} bits: ${network.toString()}/${bits}, or ${parsed.toString()}/${bytes.length * 8}`,
      );
    }
    if (network.kind() === 'ipv6' && bits < 96 && MAPPED_NETWORK[0].match(network as ipaddr.IPv6, bits)) {
      return refuse(
        'a network that does not take in the IPv4 addresses (::ffff:0:0/96), as 2000::/3 for all of the internet',
      );
    }
    return `${network.toString()}/${bits}`;
  });
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

/** Only the four-part decimal form of IPv4 is taken; IPv4 in IPv6's clothes has to be written as IPv4. */
function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!ipaddr.IPv6.isValid(text) || text.includes('%')) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? undefined : address;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `192.0.2.1:port` or `[2001:db8::1]:port`; undefined for anything else. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(text);
  const [, bracketed, plain, portText] = match ?? [];
  const port = Number(portText);
  const host = bracketed ?? plain;
  if (host === undefined || port < 1 || port > 65535) return undefined;
  if (bracketed !== undefined && !ipaddr.IPv6.isValid(bracketed)) return undefined;
  // What consists of digits and dots alone is meant as an address, so it has to be one.
  if (/^[\d.]+$/.test(host) && !ipaddr.IPv4.isValidFourPartDecimal(host)) return undefined;
  return { host, port };
}

export function hostPort(): z.ZodType<HostPort> {
  const error = 'a host and a port, as redis-1.example:6379, 192.0.2.1:6379 or [2001:db8::1]:6379';
  return z.string({ error }).transform((text, context) => {
    const parsed = parseHostPort(text);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: error, input: text });
    return z.NEVER;
  });
}

/** redis://[user[:password]@]host[:port][/database], the same with rediss://, or unix:///path[?db=database]. */
export function redisUrl(): z.ZodType<string> {
  const error = 'a URL as redis://127.0.0.1:6379/0 or unix:///run/redis/redis.sock?db=0';
  return z.string({ error }).refine(isRedisUrl, { error });
}

function isRedisUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || text.trim() !== text || url.hash !== '') return false;
  if (url.protocol === 'unix:') {
    return url.host === '' && /^\/[^/]/.test(url.pathname) && /^(\?db=\d{1,5})?$/.test(url.search);
  }
  return (
    (url.protocol === 'redis:' || url.protocol === 'rediss:') &&
    url.hostname !== '' &&
    url.port !== '0' &&
    /^(\/\d{0,5})?$/.test(url.pathname) &&
    url.search === '' &&
    isPercentEncoded(url.username + url.password)
  );
}

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** A Redis URL as it may be shown: without its password. Text that is not a URL is not shown at all. */
export function shownUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null) return 'text that is not a URL';
  if (url.password !== '') url.password = '***';
  // What is never right there may hold a password.
  if (url.protocol !== 'unix:') url.search = '';
  url.hash = '';
  return url.href;
}
