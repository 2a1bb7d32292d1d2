/**
 * Two hosts on one machine: network namespaces joined by a veth pair. The process that makes them moves into the
 * client's, so that its own sockets are the client's; the gateway is started in the other.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { attachXdp, BpfObject } from '../kernel/libbpf.ts';
import { enterNetworkNamespace, interfaceIndex } from '../kernel/libc.ts';
import { PASS_OBJECT } from '../package-files.ts';

export const GATEWAY_IPV4 = '10.99.0.2';
export const GATEWAY_IPV6 = 'fd99::2';
export const CLIENT_IPV4 = '10.99.0.1';
export const CLIENT_IPV6 = 'fd99::1';

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export class TwoHosts {
  readonly gatewayNamespace: string;
  readonly clientNamespace: string;
  /** The gateway's end of the pair. */
  readonly gatewayInterface = 'sgw1';
  readonly clientInterface = 'sgw0';
  readonly #home: number;
  #pass: { object: BpfObject; link: number } | undefined;

  /** @param name tells these namespaces from others on the machine; at most 40 letters, digits and hyphens */
  constructor(name: string) {
    this.gatewayNamespace = `${name}-gateway`;
    this.clientNamespace = `${name}-client`;
    this.#home = fs.openSync('/proc/self/ns/net', 'r');
    try {
      this.#make();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #make(): void {
    ip('netns', 'add', this.gatewayNamespace);
    ip('netns', 'add', this.clientNamespace);
    for (const namespace of [this.clientNamespace, this.gatewayNamespace])
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
    this.#enter(this.clientNamespace);
    this.plug();
  }

  /** Joins the hosts by a new pair of devices. */
  plug(): void {
    const pair = ['type', 'veth', 'peer', 'name', this.gatewayInterface, 'netns', this.gatewayNamespace];
    ip('-n', this.clientNamespace, 'link', 'add', this.clientInterface, ...pair);
    for (const [namespace, device, ipv4, ipv6] of [
      [this.clientNamespace, this.clientInterface, CLIENT_IPV4, CLIENT_IPV6],
      [this.gatewayNamespace, this.gatewayInterface, GATEWAY_IPV4, GATEWAY_IPV6],
    ] as const) {
      ip('-n', namespace, 'addr', 'add', `${ipv4}/24`, 'dev', device);
      ip('-n', namespace, 'addr', 'add', `${ipv6}/64`, 'dev', device, 'nodad');
      ip('-n', namespace, 'link', 'set', device, 'up');
    }
    const object = new BpfObject(PASS_OBJECT);
    object.load('pass');
    const link = attachXdp(object.programFd('pass'), interfaceIndex(this.clientInterface), 'native');
    this.#pass = { object, link };
  }

  /** Takes the pair away, and with it whatever is attached to its devices. */
  unplug(): void {
    ip('-n', this.gatewayNamespace, 'link', 'del', this.gatewayInterface);
    this.#closePass();
  }

  /** Runs ip(8) on the gateway's host. */
  gatewayIp(...args: string[]): void {
    ip('-n', this.gatewayNamespace, ...args);
  }

  /** The same on the client's. */
  clientIp(...args: string[]): void {
    ip('-n', this.clientNamespace, ...args);
  }

  /** Takes the gateway's device down, or up again; its IPv4 address stays. */
  setGatewayLink(state: 'up' | 'down'): void {
    ip('-n', this.gatewayNamespace, 'link', 'set', this.gatewayInterface, state);
  }

  /** @param make called at once, and whatever sockets it makes before it returns are on the gateway's host */
  onGatewayHost<T>(make: () => T): T {
    this.#enter(this.gatewayNamespace);
    try {
      return make();
    } finally {
      this.#enter(this.clientNamespace);
    }
  }

  #enter(namespace: string): void {
    const descriptor = fs.openSync(namespacePath(namespace), 'r');
    enterNetworkNamespace(descriptor);
    fs.closeSync(descriptor);
  }

  /** Starts a program on the gateway's host. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn('nsenter', [`--net=${namespacePath(this.gatewayNamespace)}`, command, ...args], options);
  }

  #closePass(): void {
    if (this.#pass === undefined) return;
    fs.closeSync(this.#pass.link);
    this.#pass.object.close();
    this.#pass = undefined;
  }

  /** Takes everything away again and moves the process back to where it was. */
  close(): void {
    enterNetworkNamespace(this.#home);
    fs.closeSync(this.#home);
    this.#closePass();
    for (const namespace of [this.clientNamespace, this.gatewayNamespace]) {
      if (fs.existsSync(namespacePath(namespace))) ip('netns', 'del', namespace);
    }
  }
}

function namespacePath(namespace: string): string {
  return `/run/netns/${namespace}`;
}
