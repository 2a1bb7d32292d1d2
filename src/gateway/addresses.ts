/**
 * IP addresses and networks between text and the 16 bytes that the kernel keeps (IPv4 as ::ffff:a.b.c.d, RFC 4291, section
 * 2.5.5.2). May be imported by src/gateway only.
 */
import ipaddr from 'ipaddr.js';

/** @param text an IP literal, without brackets */
export function addressBytes(text: string): Uint8Array {
  const address = ipaddr.parse(text);
  const wide = address.kind() === 'ipv4' ? (address as ipaddr.IPv4).toIPv4MappedAddress() : address;
  return Uint8Array.from(wide.toByteArray());
}

/** An IP literal (RFC 5952), IPv6 without brackets. */
export function addressText(bytes: Uint8Array): string {
  const address = ipaddr.fromByteArray([...bytes]) as ipaddr.IPv6;
  return (address.isIPv4MappedAddress() ? address.toIPv4Address() : address).toString();
}

/** `192.0.2.1:80`, `[2001:db8::1]:80` */
export function endpointText(bytes: Uint8Array, port: number): string {
  const text = addressText(bytes);
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}

/** A network's address and the number of its bits that count, IPv4 from bit 96. @param text CIDR */
export function networkBytes(text: string): { bytes: Uint8Array; prefixLength: number } {
  const [address, bits] = ipaddr.parseCIDR(text);
  const prefixLength = address.kind() === 'ipv4' ? bits + 96 : bits;
  return { bytes: addressBytes(address.toString()), prefixLength };
}
