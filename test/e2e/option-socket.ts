/** A UDP socket with IP options or IPv6 extension headers, which node:dgram has no way to ask for. Calls wait, for a bounded time. */
import * as fs from 'node:fs';
import koffi from 'koffi';
import { addressBytes } from '../../src/gateway/addresses.ts';

const lib = koffi.load('libc.so.6');
const c = {
  socket: lib.func('int socket(int domain, int type, int protocol)'),
  setsockopt: lib.func('int setsockopt(int fd, int level, int name, void *value, unsigned int length)'),
  connect: lib.func('int connect(int fd, void *address, unsigned int length)'),
  send: lib.func('long send(int fd, void *bytes, size_t size, int flags)'),
  recv: lib.func('long recv(int fd, void *bytes, size_t size, int flags)'),
};

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

/** Levels and names of options (ip(7), ipv6(7)). */
export const SOCKET_OPTION = {
  /** IPPROTO_IP, IP_OPTIONS */
  ipv4Options: [0, 4],
  /** IPPROTO_IP, IP_MTU_DISCOVER: 0 = fragments may be made */
  ipv4Discover: [0, 10],
  /** IPPROTO_IPV6, IPV6_HOPOPTS, IPV6_DSTOPTS */
  ipv6HopByHop: [41, 54],
  ipv6Destination: [41, 59],
} as const;

export class OptionSocket {
  readonly #fd: number;

  constructor(host: string, port: number, waitMs: number) {
    const bytes = addressBytes(host);
    const isIpv6 = host.includes(':');
    this.#fd = c.socket(isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) as number;
    if (this.#fd < 0) throw new Error('no socket');
    const timeval = new DataView(new ArrayBuffer(16));
    timeval.setBigInt64(0, BigInt(Math.floor(waitMs / 1000)), true);
    timeval.setBigInt64(8, BigInt((waitMs % 1000) * 1000), true);
    this.set([SOL_SOCKET, SO_RCVTIMEO], new Uint8Array(timeval.buffer));
    const address = new DataView(new ArrayBuffer(28));
    address.setUint16(0, isIpv6 ? AF_INET6 : AF_INET, true);
    address.setUint16(2, port);
    new Uint8Array(address.buffer).set(isIpv6 ? bytes : bytes.subarray(12), isIpv6 ? 8 : 4);
    if ((c.connect(this.#fd, address.buffer, isIpv6 ? 28 : 16) as number) !== 0) throw new Error('no connection');
  }

  set([level, name]: readonly [number, number], value: Uint8Array): void {
    if ((c.setsockopt(this.#fd, level, name, value, value.length) as number) !== 0) {
      throw new Error(`socket option ${level}, ${name}: refused`);
    }
  }

  send(datagram: Uint8Array): void {
    if (Number(c.send(this.#fd, datagram, datagram.length, 0)) < 0) throw new Error('send');
  }

  /** @returns undefined when nothing came in time */
  receive(): Uint8Array | undefined {
    const buffer = Buffer.alloc(2048);
    const length = Number(c.recv(this.#fd, buffer, buffer.length, 0));
    return length < 0 ? undefined : Uint8Array.from(buffer.subarray(0, length));
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}
