/** Addresses as they travel, as text. May be imported by src/client. */
import { SocketAddress } from 'node:net';
import { isZero } from '../auth/bytes.ts';

/** Where the IPv4 address begins in `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2). */
const MAPPED_AT = 12;

/**
 * @param bytes 16 bytes: IPv6, or IPv4 as ::ffff:a.b.c.d
 * @returns an IP literal without brackets; null for the unspecified address
 */
export function addressText(bytes: Uint8Array): string | null {
  if (isZero(bytes, 0, bytes.length)) return null;
  if (isZero(bytes, 0, MAPPED_AT - 2) && bytes[MAPPED_AT - 2] === 0xff && bytes[MAPPED_AT - 1] === 0xff) {
    return bytes.subarray(MAPPED_AT).join('.');
  }
  const groups: string[] = [];
  for (let at = 0; at < bytes.length; at += 2) {
    groups.push((((bytes[at] as number) << 8) | (bytes[at + 1] as number)).toString(16));
  }
  return new SocketAddress({ family: 'ipv6', address: groups.join(':') }).address;
}
