/**
 * Where the benchmarks' packets travel: two hosts as network namespaces, joined by veth pairs, one a core. May be imported by bench only.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import koffi from 'koffi';
import { enterNetworkNamespace } from '../../src/gateway/kernel/libc.ts';
import { CLIENT_MAC, GATEWAY_MAC, ipv4 } from '../../test/model/frames.ts';

/** Senders have addresses in 10.98.0.0/16. */
export const SOURCES = { network: '10.98.0.0/16', first: 10, second: 98 } as const;

/** One veth pair: what is sent out of `client` comes in at `server`. */
export interface Pair {
  readonly client: string;
  readonly server: string;
  readonly serverAddress: Uint8Array;
  /** The same as text. */
  readonly serverHost: string;
  /** The far end's own address. */
  readonly clientHost: string;
}

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
const mac = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/..(?=.)/g, '$&:');

export class BenchNetwork {
  readonly clientNamespace: string;
  readonly serverNamespace: string;
  readonly pairs: readonly Pair[];
  readonly #home = fs.openSync('/proc/self/ns/net', 'r');

  /** Moves the calling thread into the server's namespace. @param name at most 40 letters, digits and hyphens */
  constructor(name: string, pairs: number) {
    this.clientNamespace = `${name}-c`;
    this.serverNamespace = `${name}-s`;
    this.pairs = Array.from({ length: pairs }, (_, i) => ({
      client: `bench-c${i}`,
      server: `bench-s${i}`,
      serverAddress: ipv4(10, 99, i, 2),
      serverHost: `10.99.${i}.2`,
      clientHost: `10.99.${i}.1`,
    }));
    try {
      this.#make();
      this.#enter(this.serverNamespace);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #make(): void {
    for (const namespace of [this.clientNamespace, this.serverNamespace]) {
      ip('netns', 'add', namespace);
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
    }
    for (const { client, server, serverHost, clientHost } of this.pairs) {
      const peer = ['peer', 'name', server, 'address', mac(GATEWAY_MAC), 'netns', this.serverNamespace];
      ip('-n', this.clientNamespace, 'link', 'add', client, 'address', mac(CLIENT_MAC), 'type', 'veth', ...peer);
      this.#start(this.clientNamespace, client, clientHost, { host: serverHost, mac: mac(GATEWAY_MAC) });
      this.#start(this.serverNamespace, server, serverHost, { host: clientHost, mac: mac(CLIENT_MAC) });
    }
    // Answers to the many senders go by the first pair; those of XDP programs go back where the packet came from.
    const via = this.pairs[0]?.clientHost ?? '';
    ip('-n', this.serverNamespace, 'route', 'add', SOURCES.network, 'via', via);
    this.#enter(this.serverNamespace);
    for (const { server } of this.pairs) receiveBatches(server);
  }

  /** Neighbours are known, since a program that takes every packet takes ARP too. */
  #start(namespace: string, device: string, own: string, other: { host: string; mac: string }): void {
    ip('-n', namespace, 'addr', 'add', `${own}/24`, 'dev', device);
    ip('-n', namespace, 'link', 'set', device, 'up');
    ip('-n', namespace, 'neigh', 'replace', other.host, 'lladdr', other.mac, 'dev', device, 'nud', 'permanent');
  }

  #enter(namespace: string): void {
    enterNamespace(namespace);
  }

  /** @param act called at once, on the client's host */
  onClient<T>(act: () => T): T {
    this.#enter(this.clientNamespace);
    try {
      return act();
    } finally {
      this.#enter(this.serverNamespace);
    }
  }

  /** Takes everything away again and moves the thread back to where it was. */
  close(): void {
    enterNetworkNamespace(this.#home);
    fs.closeSync(this.#home);
    for (const namespace of [this.clientNamespace, this.serverNamespace])
      if (fs.existsSync(namespacePath(namespace))) ip('netns', 'del', namespace);
  }
}

export function namespacePath(namespace: string): string {
  return `/run/netns/${namespace}`;
}

/** Moves the calling thread. */
export function enterNamespace(namespace: string): void {
  const descriptor = fs.openSync(namespacePath(namespace), 'r');
  enterNetworkNamespace(descriptor);
  fs.closeSync(descriptor);
}

/**
 * Switches GRO on (ethtool -K DEVICE gro on, netdevice(7)): a veth device without a native XDP program takes frames from a live-frame
 * sender only then, and it is what a server in user space would have.
 */
function receiveBatches(device: string): void {
  const lib = koffi.load('libc.so.6');
  const socket = lib.func('int socket(int domain, int type, int protocol)');
  const ioctl = lib.func('int ioctl(int fd, unsigned long request, void *argument)');
  const [AF_INET, SOCK_DGRAM, SIOCETHTOOL, ETHTOOL_SGRO] = [2, 2, 0x8946, 0x2c];
  const value = new ArrayBuffer(8);
  new Uint32Array(value).set([ETHTOOL_SGRO, 1]);
  const request = new DataView(new ArrayBuffer(40)); // struct ifreq
  new Uint8Array(request.buffer).set(Buffer.from(device));
  request.setBigUint64(16, koffi.address(value), true);
  const fd = socket(AF_INET, SOCK_DGRAM, 0) as number;
  const result = ioctl(fd, SIOCETHTOOL, request.buffer) as number;
  fs.closeSync(fd);
  if (result !== 0) throw new Error(`${device}: GRO can not be switched on (errno ${koffi.errno()})`);
}
