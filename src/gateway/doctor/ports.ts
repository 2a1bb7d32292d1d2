/**
 * Who else listens on the ports that the gateway is to have, in this network namespace. May be imported by
 * src/gateway/commands/doctor.ts and tests.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Config } from '../config.ts';
import { type Finding, finding, looked, ok } from './finding.ts';

const LISTENING = '0A';
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
    ...looked('UDP port', 'see "ss -lunp"', () => checkUdp(listen.port, socketsOn('udp', listen.port), daemon)),
    ...(http === null
      ? []
      : looked('control port', 'see "ss -ltnp"', () => checkHttp(http.port, socketsOn('tcp', http.port), daemon))),
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
  const other = sockets.find((socket) => !mayBeDaemons(socket, daemon));
  if (other !== undefined) return finding('http-port-taken', name, ownerText(other));
  return ok(name, sockets.length === 0 ? 'free' : "the daemon's");
}

/** Of a daemon that answers, where either process can't be seen from here, it may be. */
function mayBeDaemons({ pid }: ListeningSocket, daemon: DaemonProcess): boolean {
  return daemon.answers && (pid === null || daemon.pid === undefined || pid === daemon.pid);
}

function ownerText({ pid, program }: ListeningSocket): string {
  return `a socket of ${pid === null ? 'a process that can not be seen from here' : `process ${pid} (${program})`}`;
}

/** Sockets bound to a port, at whichever address (proc_net(5)). */
function socketsOn(protocol: 'udp' | 'tcp', port: number): ListeningSocket[] {
  const inodes = ['', '6'].flatMap((version) => {
    try {
      return inodesOn(readFileSync(`/proc/net/${protocol}${version}`, 'utf8'), port, protocol === 'tcp');
    } catch {
      return [];
    }
  });
  if (inodes.length === 0) return [];
  const owners = ownersOf(new Set(inodes));
  return inodes.map((inode) => ({ inode, pid: owners.get(inode) ?? null, program: programOf(owners.get(inode)) }));
}

/** @param table text of /proc/net/udp, /proc/net/tcp or their IPv6 forms @param onlyListening of TCP, those that wait for connections */
export function inodesOn(table: string, port: number, onlyListening: boolean): string[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      const isThis = Number.parseInt(local.split(':')[1] ?? '', 16) === port;
      return isThis && inode !== '' && (!onlyListening || state === LISTENING) ? [inode] : [];
    });
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
