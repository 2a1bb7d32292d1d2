/**
 * The few calls of the C library that Node.js has no way to: shared memory of maps, locks, network
 * namespaces and the interfaces of one.
 */
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

const lib = koffi.load('libc.so.6');

const c = {
  mmap: lib.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)'),
  munmap: lib.func('int munmap(void *address, size_t length)'),
  flock: lib.func('int flock(int fd, int operation)'),
  setns: lib.func('int setns(int fd, int type)'),
  getifaddrs: lib.func('int getifaddrs(_Out_ void **list)'),
  freeifaddrs: lib.func('void freeifaddrs(void *list)'),
  clockGetres: lib.func('int clock_getres(int clock, void *resolution)'),
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

  /** Maps the first `bytes` of a map made with BPF_F_MMAPABLE, for reading and writing. */
  constructor(fd: number, bytes: number) {
    const PROT_READ_WRITE = 3;
    const MAP_SHARED = 1;
    this.#address = c.mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0) as bigint;
    if (BigInt.asIntN(64, this.#address) === -1n) throw failed('map memory');
    this.buffer = koffi.view(this.#address, bytes);
  }

  close(): void {
    c.munmap(this.#address, this.buffer.byteLength);
  }
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

/** By how much the clock that the program reads, CLOCK_MONOTONIC_COARSE, moves at a time, in ms rounded up: 1 to 10 (1000 / HZ). */
export function coarseClockStepMs(): number {
  const CLOCK_MONOTONIC_COARSE = 6;
  const timespec = new DataView(new ArrayBuffer(16));
  if ((c.clockGetres(CLOCK_MONOTONIC_COARSE, timespec.buffer) as number) !== 0) throw failed('ask for a clock');
  return Math.ceil(Number(timespec.getBigInt64(8, true)) / 1e6);
}

/** 0 when there is no interface of that name. */
export function interfaceIndex(name: string): number {
  return c.ifNameToIndex(name) as number;
}

const AF_INET = 2;
const AF_INET6 = 10;
/** struct ifaddrs: next, name, flags, addr */
const IFADDRS = { size: 32, name: 8, addr: 24 } as const;
const ADDRESSES_MAX = 65_536;

/**
 * Addresses of every interface in the thread's namespace, down ones included, as 16 bytes (IPv4 as
 * ::ffff:a.b.c.d). Node's os.networkInterfaces leaves out interfaces that are down.
 */
export function interfaceAddresses(): Map<string, Uint8Array[]> {
  const head: [bigint | null] = [null];
  if ((c.getifaddrs(head) as number) !== 0) throw failed('list interfaces');
  const byName = new Map<string, Uint8Array[]>();
  let entry = head[0];
  for (let i = 0; entry && i < ADDRESSES_MAX; i++) {
    const fields = new DataView(koffi.view(entry, IFADDRS.size));
    const name = koffi.decode.string(fields.getBigUint64(IFADDRS.name, true));
    const addresses = byName.get(name) ?? [];
    byName.set(name, addresses);
    const sockaddr = fields.getBigUint64(IFADDRS.addr, true);
    if (sockaddr !== 0n) {
      const bytes = new Uint8Array(koffi.view(sockaddr, 24));
      const family = (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
      if (family === AF_INET)
        addresses.push(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes.slice(4, 8)));
      else if (family === AF_INET6) addresses.push(bytes.slice(8, 24));
    }
    entry = fields.getBigUint64(0, true);
  }
  c.freeifaddrs(head[0]);
  return byName;
}
