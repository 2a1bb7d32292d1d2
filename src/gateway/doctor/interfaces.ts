/**
 * The interfaces that requests arrive on: there, up, with the gateway's program in the best mode, and able to send what it answers. May be
 * imported by src/gateway/commands/doctor.ts and tests.
 */
import { availableParallelism } from 'node:os';
import ipaddr from 'ipaddr.js';
import { addressText } from '../addresses.ts';
import type { Config } from '../config.ts';
import { interfaceIndex } from '../kernel/libc.ts';
import {
  type NetworkDevice,
  networkDevice,
  networkDevices,
  receiveQueues,
  stripsVlanTags,
} from '../kernel/network-devices.ts';
import { listenAddresses } from '../listen-addresses.ts';
import type { InterfaceStatus } from '../ports.ts';
import { type Finding, finding, looked, ok } from './finding.ts';
import { ownPrograms } from './pins.ts';

/** The largest batch: IPv6 and UDP headers, and 1,080 bytes (docs/protocol.md, "BATCH request"). */
const PACKET_MAX_BYTES = 40 + 8 + 1_080;
/** What of a page of 4,096 bytes is left beside headroom, tail and the Ethernet header, about. */
const NATIVE_MTU_MAX = 3_498;
/** Names and addresses that a finding shows. */
const SHOWN_MAX = 10;

/** What is looked at of one interface. */
export interface InterfaceFacts {
  readonly device: NetworkDevice;
  /** listen.attach: which mode there is to be. */
  readonly attach: Config['listen']['attach'];
  /** Of a veth device, where it can be seen. */
  readonly peer: NetworkDevice | undefined;
  /** Names of VLAN devices on it. */
  readonly vlans: readonly string[];
  readonly stripsVlanTags: boolean | null;
  readonly queues: number | null;
  readonly cpus: number;
  /** What the daemon says: a mode, or `missing`; undefined where none answers. */
  readonly attached: string | undefined;
  /** Ids of programs that are pinned as ours; null where that can't be seen. */
  readonly ownPrograms: ReadonlySet<number> | null;
}

/** @param attached what a running daemon says of its interfaces; undefined where none answers */
export function checkInterfaces(config: Config, attached: readonly InterfaceStatus[] | undefined): Finding[] {
  const addresses = looked('addresses', 'see listen.addresses', () => {
    return checkAddresses(config.listen, listenAddresses(config.listen).map(addressText));
  });
  return [...checkEach(config, attached), ...addresses];
}

function checkEach(config: Config, attached: readonly InterfaceStatus[] | undefined): Finding[] {
  const { interfaces, attach } = config.listen;
  if (attach === 'none')
    return interfaces.map((name) =>
      finding('interface-without-program', `interface ${name}`, 'no XDP program is on it'),
    );
  if (interfaces.length === 0) return [finding('interfaces-none', 'interfaces', 'none')];
  const own = ownPrograms(config.pins);
  return interfaces.flatMap((name) => {
    const shown = `interface ${name}`;
    return looked(shown, 'see listen.interfaces', () => {
      const index = interfaceIndex(name);
      const device = index === 0 ? undefined : networkDevice({ index, namespace: null });
      if (device === undefined) return finding('interface-missing', shown, 'there is no such interface');
      return checkInterface(factsOf(device, attach, attached?.find((one) => one.name === name)?.mode, own));
    });
  });
}

/** @param found what the daemon answers on, or would */
export function checkAddresses({ interfaces, addresses }: Config['listen'], found: readonly string[]): Finding[] {
  const name = 'addresses';
  const shown = `${found.slice(0, SHOWN_MAX).join(', ')}${found.length > SHOWN_MAX ? ', …' : ''}`;
  if (addresses.length > 0 || found.some((address) => ipaddr.parse(address).range() !== 'linkLocal'))
    return [ok(name, shown)];
  const there = interfaces.filter((one) => interfaceIndex(one) !== 0);
  // Of those that are not there that is told.
  if (there.length === 0) return [];
  const where = `listen.addresses is empty, and on ${there.slice(0, SHOWN_MAX).join(', ')} there is`;
  if (found.length === 0) return [finding('addresses-none', name, `${where} none`)];
  return [finding('addresses-link-local', name, `${where} only ${shown}`)];
}

function factsOf(
  device: NetworkDevice,
  attach: InterfaceFacts['attach'],
  attached: string | undefined,
  own: InterfaceFacts['ownPrograms'],
): InterfaceFacts {
  const vlans = networkDevices().filter(({ kind, link }) => {
    return kind === 'vlan' && link?.namespace === null && link.index === device.index;
  });
  return {
    device,
    attach,
    peer: peerOf(device),
    vlans: vlans.map(({ name }) => name),
    stripsVlanTags: stripsVlanTags(device.index),
    queues: receiveQueues(device.index),
    cpus: availableParallelism(),
    attached,
    ownPrograms: own,
  };
}

/** The other end of a veth pair; it may be in a namespace that this process may not look into. */
function peerOf({ kind, link }: NetworkDevice): NetworkDevice | undefined {
  if (kind !== 'veth' || link === null) return undefined;
  try {
    return networkDevice(link);
  } catch {
    return undefined;
  }
}

export function checkInterface(facts: InterfaceFacts): Finding[] {
  const { device, queues, cpus } = facts;
  const name = `interface ${device.name}`;
  const what = device.driver ?? device.kind ?? 'no driver shown';
  const findings = [checkProgram(facts, name, what)];
  if (!device.isUp) findings.push(finding('interface-down', name, 'it is down', { name: device.name }));
  findings.push(...checkMtu(facts, name), ...checkPeer(facts, name), ...checkVlan(facts, name));
  if (queues !== null && queues < cpus) {
    const found = `${queues} ${queues === 1 ? 'queue' : 'queues'} for ${cpus} CPUs`;
    findings.push(finding('queues-few', name, found, { name: device.name, cpus }));
  }
  return findings;
}

function checkProgram({ device, attached, ownPrograms: own }: InterfaceFacts, name: string, what: string): Finding {
  const { xdp } = device;
  const isOwn = xdp !== null && (own?.has(xdp.programId) ?? false);
  const isForeign = xdp !== null && own !== null && !isOwn;
  if (isForeign) {
    const found = `has XDP program ${xdp.programId} of another owner (${xdp.mode})`;
    return finding('xdp-foreign', name, found, { name: device.name });
  }
  if (attached === undefined) {
    if (isOwn)
      return finding(
        'interface-own-program',
        name,
        `program ${xdp.programId} is attached (${xdp.mode}), and no daemon`,
      );
    return ok(name, `there (${what})`);
  }
  if (attached === 'native' || attached === 'offloaded') return ok(name, `attached in ${attached} mode (${what})`);
  if (attached === 'generic') return finding('interface-generic', name, `attached in generic mode (${what})`);
  if (attached === 'none') return finding('interface-without-program', name, 'no XDP program is on it');
  return finding('interface-not-attached', name, `the daemon says: ${attached}`);
}

function checkMtu({ device: { name: device, mtu, kind, xdp }, attach }: InterfaceFacts, name: string): Finding[] {
  if (mtu < PACKET_MAX_BYTES) return [finding('mtu-small', name, `MTU ${mtu}`, { needed: PACKET_MAX_BYTES })];
  // The loopback has no native mode at any.
  if (mtu > NATIVE_MTU_MAX && attach !== 'generic' && xdp?.mode !== 'native' && device !== 'lo' && kind !== 'veth')
    return [finding('mtu-large', name, `MTU ${mtu}`, { name: device })];
  return [ok(`${name} MTU`, String(mtu))];
}

/** It is in that mode, or is to be: what only native mode wants doesn't matter. */
function isGeneric({ device, attach }: InterfaceFacts): boolean {
  return (device.xdp?.mode ?? attach) === 'generic';
}

function checkPeer(facts: InterfaceFacts, name: string): Finding[] {
  const { peer } = facts;
  if (peer === undefined || isGeneric(facts)) return [];
  if (peer.xdp?.mode === 'native') return [ok(`${name} peer`, `${peer.name} has an XDP program too`)];
  return [finding('veth-peer-without-xdp', name, `its other end ${peer.name} has no native XDP program`)];
}

function checkVlan(facts: InterfaceFacts, name: string): Finding[] {
  const { device, vlans, stripsVlanTags: strips } = facts;
  if (vlans.length === 0 || strips !== true || isGeneric(facts)) return [];
  const found = `takes VLAN tags off, and ${vlans.slice(0, 10).join(', ')} are on it`;
  return [finding('vlan-stripped', name, found, { name: device.name })];
}
