/**
 * Ethernet frames as data: builds requests in every layout that the datapath knows, and some that it leaves
 * to the host.
 */

export interface FrameOptions {
  /** Tag protocol identifiers, outermost first. */
  vlans?: number[];
  /** 16 bytes each; IPv4 when both begin with ::ffff */
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort?: number;
  destinationPort: number;
  payload: Uint8Array;
  /** IPv4 options, a multiple of 4 bytes. */
  options?: Uint8Array;
  /** IPv4 flags and fragment offset. */
  fragment?: number;
  /** IPv6 extension headers before UDP: next-header value and the header's bytes, whose first is overwritten. */
  extensions?: { type: number; bytes: Uint8Array }[];
  /** Ethernet's padding. */
  trailer?: Uint8Array;
  /** UDP length field; the true one when left out. */
  udpLength?: number;
  /** Length field of the IP header; the true one when left out. */
  ipLength?: number;
  trafficClass?: number;
  hopLimit?: number;
}

export const CLIENT_MAC = Uint8Array.of(0x02, 0, 0, 0, 0, 0x01);
export const GATEWAY_MAC = Uint8Array.of(0x02, 0, 0, 0, 0, 0x02);

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const UDP = 17;

/** An IPv4 address as 16 bytes. */
export function ipv4(a: number, b: number, c: number, d: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d);
}

export function isIpv4(address: Uint8Array): boolean {
  return address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff;
}

/** Ones' complement sum over big-endian 16-bit words (RFC 1071). */
export function internetChecksum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

const u16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];

export function buildFrame(options: FrameOptions): Uint8Array {
  const { source, destination, payload } = options;
  const overIpv4 = isIpv4(source) && isIpv4(destination);
  const udpLength = 8 + payload.length;
  const udp = Uint8Array.of(
    ...u16(options.sourcePort ?? 40_000),
    ...u16(options.destinationPort),
    ...u16(options.udpLength ?? udpLength),
    0x12, // left unfinished, as virtual links do
    0x34,
    ...payload,
  );
  const packet = overIpv4 ? ipv4Packet(options, udp) : ipv6Packet(options, udp);
  const tags = (options.vlans ?? []).map((tpid, i) => ({ tpid, tci: 0x2000 + i + 5 }));
  const types = [...tags.map((tag) => tag.tpid), overIpv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6];
  return Uint8Array.of(
    ...GATEWAY_MAC,
    ...CLIENT_MAC,
    ...u16(types[0] ?? 0),
    ...tags.flatMap((tag, i) => [...u16(tag.tci), ...u16(types[i + 1] ?? 0)]),
    ...packet,
    ...(options.trailer ?? []),
  );
}

function ipv4Packet(options: FrameOptions, udp: Uint8Array): Uint8Array {
  const extra = options.options ?? new Uint8Array(0);
  const headerLength = 20 + extra.length;
  const header = Uint8Array.of(
    0x40 | (headerLength / 4),
    options.trafficClass ?? 0,
    ...u16(options.ipLength ?? headerLength + udp.length),
    0xab,
    0xcd,
    ...u16(options.fragment ?? 0x4000),
    options.hopLimit ?? 61,
    UDP,
    0,
    0,
    ...options.source.subarray(12),
    ...options.destination.subarray(12),
    ...extra,
  );
  header.set(u16(internetChecksum(header)), 10);
  return Uint8Array.of(...header, ...udp);
}

function ipv6Packet(options: FrameOptions, udp: Uint8Array): Uint8Array {
  const extensions = options.extensions ?? [];
  const next = [...extensions.map((extension) => extension.type), UDP];
  const body = Uint8Array.of(
    ...extensions.flatMap((extension, i) => [next[i + 1] ?? 0, ...extension.bytes.subarray(1)]),
    ...udp,
  );
  const trafficClass = options.trafficClass ?? 0;
  return Uint8Array.of(
    0x60 | (trafficClass >> 4),
    ((trafficClass & 0x0f) << 4) | 0x05,
    0x43,
    0x21,
    ...u16(options.ipLength ?? body.length),
    next[0] ?? 0,
    options.hopLimit ?? 61,
    ...options.source,
    ...options.destination,
    ...body,
  );
}
