/**
 * What the kernel tells of a network device: rtnetlink(7), and the kernel's documentation "Netlink interface for ethtool". All of
 * it in the thread's network namespace, where /sys may show another one. May be imported by src/gateway only.
 */
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { askNetlink, netlinkAttributeList, netlinkAttributes } from './libc.ts';

const NETLINK_ROUTE = 0;
const NETLINK_GENERIC = 16;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const IFINFOMSG_BYTES = 16;
const IFF_UP = 1;
/** Attributes of a link. */
const Link = {
  NAME: 3,
  MTU: 4,
  LINK: 5,
  LINKINFO: 18,
  LINK_NETNSID: 37,
  XDP: 43,
  TARGET_NETNSID: 46,
  PARENT_DEV_NAME: 56,
  PARENT_DEV_BUS_NAME: 57,
} as const;
const LINKINFO_KIND = 1;
const XDP_ATTACHED = 2;
const XDP_PROG_ID = 4;
const XDP_MODES = [null, 'native', 'generic', 'offloaded', 'several'] as const;

export interface NetworkDevice {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly isUp: boolean;
  /** `veth`, `vlan`, `bond`, …; null for hardware. */
  readonly kind: string | null;
  /** What it is above of, or the other end of a pair; null where it is none of either. */
  readonly link: DeviceReference | null;
  readonly xdp: { readonly mode: NonNullable<(typeof XDP_MODES)[number]>; readonly programId: number } | null;
  /** Of hardware; null where it isn't known. */
  readonly driver: string | null;
}

export interface DeviceReference {
  readonly index: number;
  /** The kernel's number for the namespace that it is in; null = this one. */
  readonly namespace: number | null;
}

/**
 * @returns undefined where there is no such device
 * @throws Error where the kernel doesn't tell
 */
export function networkDevice({ index, namespace }: DeviceReference): NetworkDevice | undefined {
  const link = Buffer.alloc(IFINFOMSG_BYTES);
  link.writeInt32LE(index, 4);
  const attributes = namespace === null ? [] : [attribute(Link.TARGET_NETNSID, uint32(namespace))];
  const found: NetworkDevice[] = [];
  try {
    const request = { protocol: NETLINK_ROUTE, type: RTM_GETLINK, body: Buffer.concat([link, ...attributes]) };
    askNetlink(request, (type, message) => {
      if (type === RTM_NEWLINK) found.push(readDevice(message));
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENODEV') return undefined;
    throw error;
  }
  return found[0];
}

/** All devices of this namespace. @throws Error where the kernel doesn't tell */
export function networkDevices(): NetworkDevice[] {
  const found: NetworkDevice[] = [];
  const request = { protocol: NETLINK_ROUTE, type: RTM_GETLINK, dump: true, body: new Uint8Array(IFINFOMSG_BYTES) };
  askNetlink(request, (type, message) => {
    if (type === RTM_NEWLINK) found.push(readDevice(message));
  });
  return found;
}

function readDevice(message: Buffer): NetworkDevice {
  const attributes = netlinkAttributes(message.subarray(IFINFOMSG_BYTES));
  const number = (type: number): number | undefined => attributes.get(type)?.readUInt32LE(0);
  const text = (bytes: Buffer | undefined): string | undefined => bytes?.toString('utf8').replace(/\0.*$/s, '');
  const link = number(Link.LINK);
  const kind = netlinkAttributes(attributes.get(Link.LINKINFO) ?? Buffer.alloc(0)).get(LINKINFO_KIND);
  const xdp = netlinkAttributes(attributes.get(Link.XDP) ?? Buffer.alloc(0));
  const mode = XDP_MODES[xdp.get(XDP_ATTACHED)?.readUInt8(0) ?? 0] ?? null;
  return {
    name: text(attributes.get(Link.NAME)) ?? '',
    index: message.readInt32LE(4),
    mtu: number(Link.MTU) ?? 0,
    isUp: (message.readUInt32LE(8) & IFF_UP) !== 0,
    kind: text(kind) ?? null,
    link:
      link === undefined || link === 0
        ? null
        : { index: link, namespace: attributes.get(Link.LINK_NETNSID)?.readInt32LE(0) ?? null },
    xdp: mode && { mode, programId: xdp.get(XDP_PROG_ID)?.readUInt32LE(0) ?? 0 },
    driver: driverOf(text(attributes.get(Link.PARENT_DEV_BUS_NAME)), text(attributes.get(Link.PARENT_DEV_NAME))),
  };
}

/** Buses, unlike network devices, are the same in /sys whatever the namespace. */
function driverOf(bus: string | undefined, device: string | undefined): string | null {
  if (bus === undefined || device === undefined) return null;
  try {
    return basename(readlinkSync(`/sys/bus/${bus}/devices/${device}/driver`));
  } catch {
    return null;
  }
}

/** Generic netlink (kernel's documentation), and the messages of ethtool. */
const GENL_ID_CTRL = 16;
const GENL_HEADER_BYTES = 4;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const ETHTOOL_MSG_FEATURES_GET = 11;
const ETHTOOL_MSG_CHANNELS_GET = 17;
const ETHTOOL_A_HEADER = 1;
const NLA_F_NESTED = 1 << 15;
const ETHTOOL_A_HEADER_DEV_INDEX = 1;
const ETHTOOL_A_FEATURES_ACTIVE = 4;
const ETHTOOL_A_BITSET_BITS = 3;
const ETHTOOL_A_BIT_NAME = 2;
const ETHTOOL_A_CHANNELS_RX_COUNT = 6;
const ETHTOOL_A_CHANNELS_COMBINED_COUNT = 9;
/** What `ethtool -k` calls rx-vlan-offload. */
const VLAN_STRIPPING = 'rx-vlan-hw-parse';

/** Whether the device takes VLAN tags off before the program sees a packet; null where it isn't known. */
export function stripsVlanTags(index: number): boolean | null {
  const active = askEthtool(ETHTOOL_MSG_FEATURES_GET, index)?.get(ETHTOOL_A_FEATURES_ACTIVE);
  const bits = active && netlinkAttributes(active).get(ETHTOOL_A_BITSET_BITS);
  if (bits === undefined) return null;
  return netlinkAttributeList(bits).some(([, bit]) => {
    return netlinkAttributes(bit).get(ETHTOOL_A_BIT_NAME)?.toString('latin1') === `${VLAN_STRIPPING}\0`;
  });
}

/** How many queues packets arrive on; null where the device doesn't tell. */
export function receiveQueues(index: number): number | null {
  const channels = askEthtool(ETHTOOL_MSG_CHANNELS_GET, index);
  const count = (type: number): number => channels?.get(type)?.readUInt32LE(0) ?? 0;
  return count(ETHTOOL_A_CHANNELS_RX_COUNT) + count(ETHTOOL_A_CHANNELS_COMBINED_COUNT) || null;
}

/** The attributes of the answer; undefined where neither kernel nor device have one. */
function askEthtool(command: number, index: number): Map<number, Buffer> | undefined {
  const device = attribute(NLA_F_NESTED | ETHTOOL_A_HEADER, attribute(ETHTOOL_A_HEADER_DEV_INDEX, uint32(index)));
  try {
    const family = askGeneric(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attribute(CTRL_ATTR_FAMILY_NAME, 'ethtool\0'));
    const id = family?.get(CTRL_ATTR_FAMILY_ID)?.readUInt16LE(0);
    return id === undefined ? undefined : askGeneric(id, command, device);
  } catch {
    return undefined;
  }
}

function askGeneric(family: number, command: number, attributes: Buffer): Map<number, Buffer> | undefined {
  let answer: Map<number, Buffer> | undefined;
  const body = Buffer.concat([Buffer.of(command, 1, 0, 0), attributes]);
  askNetlink({ protocol: NETLINK_GENERIC, type: family, body }, (_, message) => {
    answer ??= netlinkAttributes(Buffer.from(message.subarray(GENL_HEADER_BYTES)));
  });
  return answer;
}

function attribute(type: number, value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const whole = Buffer.alloc((4 + bytes.length + 3) & ~3);
  whole.writeUInt16LE(4 + bytes.length, 0);
  whole.writeUInt16LE(type, 2);
  bytes.copy(whole, 4);
  return whole;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}
