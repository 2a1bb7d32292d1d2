/**
 * Who else listens on the ports that the gateway is to have, in this network namespace. May be imported by
 * src/gateway/commands/doctor.ts and tests.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIP, isIPv4 } from 'node:net';
import { addressBytes, addressText } from '../addresses.ts';
import type { Config } from '../config.ts';
import { listenAddresses } from '../listen-addresses.ts';
import { type Finding, finding, looked, ok } from './finding.ts';

const LISTENING = '0A';
/** What an IPv4 address has before it as one of IPv6 (RFC 4291, section 2.5.5.2). */
const IPV4_MAPPED = Buffer.from('00000000000000000000ffff', 'hex');
/** Processes, and open files of each, that are looked through for the owner of a socket. */
const PROCESSES_MAX = 100_000;
const FILES_MAX = 10_000;

export interface ListeningSocket {
  readonly inode: string;
  /** Of the process that has it open; null where that can't be seen. */
  readonly pid: number | null;
  readonly program: string | null;
}

/** What is known of the daemon. */
export interface DaemonProcess {
  readonly answers: boolean;
  /** Undefined where its process can't be seen from here. */
  readonly pid: number | undefined;
}

export function checkPorts({ listen, control }: Config, daemon: DaemonProcess): Finding[] {
  const { http } = control;
  return [
    ...looked('UDP port', 'see "ss -lunp"', () => {
      const addresses = listenAddresses(listen).map(addressText);
      return checkUdp(listen.port, socketsOn('udp', listen.port, addresses), daemon);
    }),
    ...(http === null
      ? []
      : looked('control port', 'see "ss -ltnp"', () => {
          return checkHttp(http.port, socketsOn('tcp', http.port, addressesOf(http.host)), daemon);
        })),
    listen.allow.length === 0
      ? finding('allow-empty', 'listen.allow', 'empty')
      : ok('listen.allow', `${listen.allow.length} ${listen.allow.length === 1 ? 'network' : 'networks'}`),
  ];
}

export function checkUdp(port: number, sockets: readonly ListeningSocket[], daemon: DaemonProcess): Finding {
  const name = `UDP port ${port}`;
  const other = sockets.find((socket) => !mayBeDaemons(socket, daemon));
  if (other !== undefined) return finding('udp-port-taken', name, ownerText(other));
  return ok(name, sockets.length === 0 ? 'no other program has it' : "the daemon's");
}

export function checkHttp(port: number, sockets: readonly ListeningSocket[], daemon: DaemonProcess): Finding {
  const name = `control port ${port}`;
  const [other] = sockets;
  if (other === undefined) return ok(name, 'free');
  // A daemon that has it was not kept from starting by who else has.
  if (sockets.some((socket) => mayBeDaemons(socket, daemon))) return ok(name, "the daemon's");
  return finding('http-port-taken', name, ownerText(other));
}

/** Of a daemon that answers, where either process can't be seen from here, it may be. */
function mayBeDaemons({ pid }: ListeningSocket, daemon: DaemonProcess): boolean {
  return daemon.answers && (pid === null || daemon.pid === undefined || pid === daemon.pid);
}

function ownerText({ pid, program }: ListeningSocket): string {
  return `a socket of ${pid === null ? 'a process that can not be seen from here' : `process ${pid} (${program})`}`;
}

/** A name other than the usual one isn't looked up: it may be any address. */
function addressesOf(host: string): string[] | undefined {
  if (host === 'localhost') return ['127.0.0.1', '::1'];
  return isIP(host) === 0 ? undefined : [addressText(addressBytes(host))];
}

/** Sockets bound to a port (proc_net(5)). @param addresses at one of these; undefined = at any */
function socketsOn(protocol: 'udp' | 'tcp', port: number, addresses: readonly string[] | undefined): ListeningSocket[] {
  const bound = ['', '6'].flatMap((version) => {
    try {
      return socketsIn(readFileSync(`/proc/net/${protocol}${version}`, 'utf8'), port, protocol === 'tcp');
    } catch {
      return [];
    }
  });
  const here = bound.filter(({ address }) => addresses?.some((wanted) => meet(address, wanted)) ?? true);
  if (here.length === 0) return [];
  const owners = ownersOf(new Set(here.map(({ inode }) => inode)));
  return here.map(({ inode }) => ({ inode, pid: owners.get(inode) ?? null, program: programOf(owners.get(inode)) }));
}

/** Whether sockets bound to these two are in each other's way; one bound to `::` takes IPv4 too, mostly. */
export function meet(one: string, other: string): boolean {
  const both = [one, other];
  if (one === other || both.includes('::')) return true;
  return both.every((address) => isIPv4(address)) && both.includes('0.0.0.0');
}

/** @param table text of /proc/net/udp, /proc/net/tcp or their IPv6 forms @param onlyListening of TCP, those that wait for connections */
export function socketsIn(table: string, port: number, onlyListening: boolean): { address: string; inode: string }[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      const [address = '', hexPort = ''] = local.split(':');
      const isThis = Number.parseInt(hexPort, 16) === port;
      if (!isThis || inode === '' || (onlyListening && state !== LISTENING)) return [];
      return [{ address: readAddress(address), inode }];
    });
}

/** Words of 32 bits, each as the machine reads it from memory: with its bytes in the other order. */
function readAddress(hex: string): string {
  const bytes = Buffer.from(hex, 'hex').swap32();
  return addressText(bytes.length === 4 ? Buffer.concat([IPV4_MAPPED, bytes]) : bytes);
}

function ownersOf(inodes: ReadonlySet<string>): Map<string, number> {
  const owners = new Map<string, number>();
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  for (const pid of processes.slice(0, PROCESSES_MAX)) {
    for (const link of openFiles(pid)) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(link) ?? [];
      if (inode !== undefined && inodes.has(inode)) owners.set(inode, Number(pid));
    }
    if (owners.size === inodes.size) break;
  }
  return owners;
}

function openFiles(pid: string): string[] {
  try {
    const files = readdirSync(`/proc/${pid}/fd`).slice(0, FILES_MAX);
    return files.flatMap((file) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${file}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

function programOf(pid: number | undefined): string | null {
  try {
    return pid === undefined ? null : readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}
