/**
 * The few calls of the C library that Node.js has no way to: shared memory of maps, locks, network
 * namespaces and the interfaces of one, datagrams to a Unix socket.
 */
import * as fs from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

const lib = koffi.load('libc.so.6');

const c = {
  mmap: lib.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)'),
  munmap: lib.func('int munmap(void *address, size_t length)'),
  madvise: lib.func('int madvise(uintptr_t address, size_t length, int advice)'),
  prctl: lib.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)'),
  syscall: lib.func('long syscall(long number, long command, unsigned int flags, int cpu)'),
  flock: lib.func('int flock(int fd, int operation)'),
  setns: lib.func('int setns(int fd, int type)'),
  socket: lib.func('int socket(int domain, int type, int protocol)'),
  send: lib.func('long send(int socket, void *bytes, size_t size, int flags)'),
  sendto: lib.func('long sendto(int socket, void *bytes, size_t size, int flags, void *address, uint32_t addressSize)'),
  recv: lib.func('long recv(int socket, void *bytes, size_t size, int flags)'),
  pthreadSigmask: lib.func('int pthread_sigmask(int how, void *set, void *old)'),
  adjtimex: lib.func('int adjtimex(void *timex)'),
  sysconf: lib.func('long sysconf(int name)'),
  clockGetres: lib.func('int clock_getres(int clock, void *resolution)'),
  ifIndexToName: lib.func('void *if_indextoname(unsigned int index, void *name)'),
  ifNameToIndex: lib.func('unsigned int if_nametoindex(const char *name)'),
};

function failed(operation: string): Error {
  const errno = koffi.errno();
  return Object.assign(new Error(`${operation}: ${getSystemErrorName(-errno)}`), { code: getSystemErrorName(-errno) });
}

/** A mapping of shared memory; `buffer` must not be used after `close`. */
export class SharedMemory {
  readonly buffer: ArrayBuffer;
  readonly #address: bigint;

  /**
   * Maps `bytes` of a map made with BPF_F_MMAPABLE, or of a ring buffer.
   * @param offset of whole pages
   */
  constructor(fd: number, bytes: number, { offset = 0, readOnly = false } = {}) {
    const PROT_READ = 1;
    const PROT_READ_WRITE = 3;
    const MAP_SHARED = 1;
    this.#address = c.mmap(null, bytes, readOnly ? PROT_READ : PROT_READ_WRITE, MAP_SHARED, fd, offset) as bigint;
    if (BigInt.asIntN(64, this.#address) === -1n) throw failed('map memory');
    this.buffer = koffi.view(this.#address, bytes);
  }

  close(): void {
    c.munmap(this.#address, this.buffer.byteLength);
  }
}

export function pageBytes(): number {
  const SC_PAGESIZE = 30;
  return Number(c.sysconf(SC_PAGESIZE));
}

/** Of membarrier(2), which the C library has no call for. */
const MEMBARRIER = process.arch === 'x64' ? 324 : 283;

/**
 * Resolves once every BPF program that handles a packet at this moment has come to its end: the kernel counts them as readers
 * (RCU), and this call waits for all of those. Some 15 ms, on a thread of its own.
 * @returns false where the kernel does not wait (built without it, CPUs with nohz_full): nothing is known then
 */
export function programsEnded(): Promise<boolean> {
  const MEMBARRIER_CMD_GLOBAL = 1;
  return new Promise((resolve) => {
    c.syscall.async(MEMBARRIER, MEMBARRIER_CMD_GLOBAL, 0, 0, (error: unknown, result: unknown) =>
      resolve(!error && Number(result) === 0),
    );
  });
}

/**
 * Calls `work` with all signals to this thread held back: they come when it is done. For system calls that give up with EAGAIN wherever a
 * signal waits, as the verifier does: one that comes every millisecond, as a profiler's, would have it never come to an end.
 */
export function withSignalsBlocked<T>(work: () => T): T {
  const SIG_BLOCK = 0;
  const SIG_SETMASK = 2;
  const SIGSET_BYTES = 128;
  const before = Buffer.alloc(SIGSET_BYTES);
  c.pthreadSigmask(SIG_BLOCK, Buffer.alloc(SIGSET_BYTES, 0xff), before);
  try {
    return work();
  } finally {
    c.pthreadSigmask(SIG_SETMASK, before, null);
  }
}

/** From now on this process maps nothing in pages of 2 MB. @returns false where the kernel doesn't know of that */
export function refuseLargePages(): boolean {
  const PR_SET_THP_DISABLE = 41;
  return (c.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) as number) === 0;
}

/** Unmaps pages that were read from a file: they come back when they are touched. Never for memory that was written to, which would be lost. */
export function forgetFilePages(address: bigint, bytes: number): void {
  const MADV_DONTNEED = 4;
  c.madvise(address, bytes, MADV_DONTNEED);
}

/** Locks an open file for this process alone, until it is closed; false when another process holds it. */
export function tryLock(fd: number): boolean {
  const LOCK_EX_NB = 2 | 4;
  if ((c.flock(fd, LOCK_EX_NB) as number) === 0) return true;
  const error = failed('lock');
  if ('code' in error && error.code === 'EAGAIN') return false;
  throw error;
}

/** Moves the calling thread into the network namespace open at `fd`: the sockets it makes from now on live there. */
export function enterNetworkNamespace(fd: number): void {
  const CLONE_NEWNET = 0x40000000;
  if ((c.setns(fd, CLONE_NEWNET) as number) !== 0) throw failed('enter a network namespace');
}

/**
 * Sends one datagram to a Unix socket, without waiting for room there.
 * @param name a path, or an abstract name that begins with "@" (unix(7)); at most 107 bytes
 */
export function sendToUnixSocket(name: string, text: string): void {
  const AF_UNIX = 1;
  const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
  const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;
  /** Size of sun_path, less the zero at its end. */
  const NAME_MAX_BYTES = 107;
  const path = Buffer.from(name);
  if (path.length > NAME_MAX_BYTES)
    throw new RangeError(`found a name of ${path.length} bytes, allowed: ${NAME_MAX_BYTES}`);
  if (name.startsWith('@')) path[0] = 0;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  // An abstract name ends with the address, a path with a zero.
  const address = Buffer.concat(path[0] === 0 ? [family, path] : [family, path, Buffer.alloc(1)]);
  const socket = c.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0) as number;
  if (socket < 0) throw failed('make a socket');
  try {
    const bytes = Buffer.from(text);
    const sent = Number(c.sendto(socket, bytes, bytes.length, MSG_DONTWAIT_NOSIGNAL, address, address.length));
    if (sent !== bytes.length) throw failed('send a datagram');
  } finally {
    fs.closeSync(socket);
  }
}

/** By how much the clock that the program reads, CLOCK_MONOTONIC_COARSE, moves at a time, in ms rounded up: 1 to 10 (1000 / HZ). */
export function coarseClockStepMs(): number {
  const CLOCK_MONOTONIC_COARSE = 6;
  const timespec = new DataView(new ArrayBuffer(16));
  if ((c.clockGetres(CLOCK_MONOTONIC_COARSE, timespec.buffer) as number) !== 0) throw failed('ask for a clock');
  return Math.ceil(Number(timespec.getBigInt64(8, true)) / 1e6);
}

/** What the kernel knows of how well the system clock is kept (adjtimex(2)). Changes nothing. */
export interface ClockDiscipline {
  /** Nobody keeps it by another clock, as NTP does. */
  readonly isUnsynchronised: boolean;
  /** By how much it may be off, at most, ms. */
  readonly maxErrorMs: number;
}

export function clockDiscipline(): ClockDiscipline {
  const TIME_ERROR = 5;
  const STA_UNSYNC = 0x40;
  // struct timex: modes, then longs, of which the fourth is the greatest error in microseconds; then an int with the status
  const timex = new DataView(new ArrayBuffer(208));
  const state = c.adjtimex(timex.buffer) as number;
  if (state < 0) throw failed('ask how the clock is kept');
  const status = timex.getInt32(40, true);
  return {
    isUnsynchronised: state === TIME_ERROR || (status & STA_UNSYNC) !== 0,
    maxErrorMs: Number(timex.getBigInt64(24, true)) / 1000,
  };
}

/** 0 when there is no interface of that name, or of that alternative name (ip-link(8), altname). */
export function interfaceIndex(name: string): number {
  return c.ifNameToIndex(name) as number;
}

/** An interface's name; undefined when there is none of that index. */
export function interfaceName(index: number): string | undefined {
  const IF_NAMESIZE = 16;
  const name = Buffer.alloc(IF_NAMESIZE);
  return c.ifIndexToName(index, name) ? name.toString('utf8', 0, name.indexOf(0)) : undefined;
}

/** netlink(7) */
const AF_NETLINK = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST_ACK = 0x1 | 0x4;
const NLM_F_DUMP = 0x300;
/** Sizes of struct nlmsghdr and nlattr. */
const HEADER_BYTES = 16;
const ATTRIBUTE_BYTES = 4;
const REPLY_BYTES = 1 << 16;
/** A kernel that never says "done" is not waited for. */
const REPLIES_MAX = 4_096;

export interface NetlinkRequest {
  /** NETLINK_ROUTE = 0, NETLINK_GENERIC = 16 */
  readonly protocol: number;
  readonly type: number;
  /** All there are, not one. */
  readonly dump?: boolean;
  /** What follows the header. */
  readonly body: Uint8Array;
}

/**
 * Asks the kernel in the thread's network namespace, and reads all of its answer.
 * @param read is given each message of the answer: its type, and what follows its header
 * @throws Error with the code of the system error, where the kernel refuses
 */
export function askNetlink(
  { protocol, type, dump = false, body }: NetlinkRequest,
  read: (type: number, message: Buffer) => void,
): void {
  const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
  const socket = c.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol) as number;
  if (socket < 0) throw failed('ask the kernel by netlink');
  try {
    const request = new DataView(new ArrayBuffer(HEADER_BYTES + body.length));
    request.setUint32(0, request.byteLength, true);
    request.setUint16(4, type, true);
    request.setUint16(6, NLM_F_REQUEST_ACK | (dump ? NLM_F_DUMP : 0), true);
    new Uint8Array(request.buffer).set(body, HEADER_BYTES);
    if (Number(c.send(socket, request.buffer, request.byteLength, 0)) < 0) throw failed('ask the kernel by netlink');
    const reply = Buffer.alloc(REPLY_BYTES);
    for (let replies = 0; replies < REPLIES_MAX; replies++) {
      const bytes = Number(c.recv(socket, reply, reply.length, 0));
      if (bytes < 0) throw failed('read the answer of netlink');
      if (readMessages(reply.subarray(0, bytes), read)) break;
    }
  } finally {
    fs.closeSync(socket);
  }
}

/** @returns whether this was the last part of the answer */
function readMessages(reply: Buffer, read: (type: number, message: Buffer) => void): boolean {
  for (let at = 0; at + HEADER_BYTES <= reply.length; ) {
    const bytes = reply.readUInt32LE(at);
    const type = reply.readUInt16LE(at + 4);
    if (type === NLMSG_DONE) return true;
    if (bytes < HEADER_BYTES) throw new Error('netlink: found a message without an end');
    const message = reply.subarray(at + HEADER_BYTES, at + bytes);
    if (type === NLMSG_ERROR) {
      const errno = message.readInt32LE(0);
      // 0 acknowledges what was asked for.
      if (errno === 0) return true;
      const code = getSystemErrorName(errno);
      throw Object.assign(new Error(`netlink: ${code}`), { code });
    }
    read(type, message);
    at += aligned(bytes);
  }
  return false;
}

/** The attributes of a netlink message, or of an attribute that has some, by type: the last one of each. */
export function netlinkAttributes(bytes: Buffer): Map<number, Buffer> {
  return new Map(netlinkAttributeList(bytes));
}

/** The same in their order, each one. */
export function netlinkAttributeList(bytes: Buffer): [type: number, value: Buffer][] {
  const NLA_TYPE_MASK = 0x3fff;
  const attributes: [number, Buffer][] = [];
  for (let at = 0; at + ATTRIBUTE_BYTES <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_BYTES) break;
    attributes.push([bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + ATTRIBUTE_BYTES, at + length)]);
    at += aligned(length);
  }
  return attributes;
}

/** rtnetlink(7) */
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const AF_INET = 2;
const AF_INET6 = 10;
const IFADDRMSG_BYTES = 8;

/**
 * Addresses of every interface in the thread's namespace by the interface's index, down ones included, as 16 bytes (IPv4
 * as ::ffff:a.b.c.d). Asked of the kernel itself: Node's os.networkInterfaces leaves out interfaces that are down, and
 * getifaddrs(3) gives an address's label in the place of its interface's name.
 */
export function interfaceAddresses(): Map<number, Uint8Array[]> {
  const byIndex = new Map<number, Uint8Array[]>();
  const request = { protocol: 0, type: RTM_GETADDR, dump: true, body: new Uint8Array(IFADDRMSG_BYTES) };
  askNetlink(request, (type, message) => {
    if (type === RTM_NEWADDR) readAddress(message, byIndex);
  });
  return byIndex;
}

/** struct ifaddrmsg and attributes: IFA_LOCAL is the own address where IFA_ADDRESS is the far end's. */
function readAddress(message: Buffer, byIndex: Map<number, Uint8Array[]>): void {
  const index = message.readUInt32LE(4);
  const attributes = netlinkAttributes(message.subarray(IFADDRMSG_BYTES));
  const found = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  const address = found && sixteenBytes(message.readUInt8(0), found);
  if (address === undefined) return;
  const addresses = byIndex.get(index) ?? [];
  byIndex.set(index, addresses);
  addresses.push(address);
}

function sixteenBytes(family: number, bytes: Uint8Array): Uint8Array | undefined {
  if (family === AF_INET && bytes.length === 4) return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes);
  return family === AF_INET6 && bytes.length === 16 ? Uint8Array.from(bytes) : undefined;
}

function aligned(bytes: number): number {
  return (bytes + 3) & ~3;
}
