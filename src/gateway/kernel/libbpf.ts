/**
 * libbpf, through koffi: the only file that knows it. Everything here is synchronous; a call costs a few
 * microseconds beside what the kernel does. Failures become BpfError with the errno's name.
 */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { withSignalsBlocked } from './libc.ts';

/** A pointer to something of libbpf's; koffi holds pointers as bigints. */
export type Pointer = bigint;

const lib = koffi.load('libbpf.so.1');

const c = {
  setPrint: lib.func('void *libbpf_set_print(void *callback)'),
  objectOpenFile: lib.func('void *bpf_object__open_file(const char *path, void *opts)'),
  objectLoad: lib.func('int bpf_object__load(void *object)'),
  objectClose: lib.func('void bpf_object__close(void *object)'),
  findMap: lib.func('void *bpf_object__find_map_by_name(void *object, const char *name)'),
  findProgram: lib.func('void *bpf_object__find_program_by_name(void *object, const char *name)'),
  mapFd: lib.func('int bpf_map__fd(void *map)'),
  mapSetMaxEntries: lib.func('int bpf_map__set_max_entries(void *map, uint32_t entries)'),
  mapType: lib.func('int bpf_map__type(void *map)'),
  mapKeySize: lib.func('uint32_t bpf_map__key_size(void *map)'),
  mapValueSize: lib.func('uint32_t bpf_map__value_size(void *map)'),
  mapMaxEntries: lib.func('uint32_t bpf_map__max_entries(void *map)'),
  mapFlags: lib.func('uint32_t bpf_map__map_flags(void *map)'),
  mapReuseFd: lib.func('int bpf_map__reuse_fd(void *map, int fd)'),
  programFd: lib.func('int bpf_program__fd(void *program)'),
  programSetLogBuffer: lib.func('int bpf_program__set_log_buf(void *program, void *buffer, size_t size)'),
  objGet: lib.func('int bpf_obj_get(const char *path)'),
  objPin: lib.func('int bpf_obj_pin(int fd, const char *path)'),
  objInfo: lib.func('int bpf_obj_get_info_by_fd(int fd, void *info, _Inout_ uint32_t *length)'),
  linkCreate: lib.func('int bpf_link_create(int program, int target, int type, void *opts)'),
  linkUpdate: lib.func('int bpf_link_update(int link, int program, void *opts)'),
  linkDetach: lib.func('int bpf_link_detach(int link)'),
  mapUpdate: lib.func('int bpf_map_update_elem(int fd, void *key, void *value, uint64_t flags)'),
  mapLookup: lib.func('int bpf_map_lookup_elem(int fd, void *key, void *value)'),
  mapDelete: lib.func('int bpf_map_delete_elem(int fd, void *key)'),
  mapNextKey: lib.func('int bpf_map_get_next_key(int fd, void *key, void *next)'),
  mapLookupBatch: lib.func(
    'int bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values, _Inout_ uint32_t *count, void *opts)',
  ),
  possibleCpus: lib.func('int libbpf_num_possible_cpus()'),
  xdpQuery: lib.func('int bpf_xdp_query(int interface, int flags, void *opts)'),
  testRun: lib.func('int bpf_prog_test_run_opts(int program, void *opts)'),
};

// libbpf's own words would go to stderr past the log; the verifier's are kept in the log buffer below.
c.setPrint(null);

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
// It has the same number as EWOULDBLOCK, and is the name that the kernel knows.
ERRNO_NAMES.set(constants.errno.EAGAIN, 'EAGAIN');

export class BpfError extends Error {
  override readonly name = 'BpfError';
  readonly operation: string;
  /** As in errno(3), e.g. "EPERM". */
  readonly errno: string;
  /** The last lines of the verifier's log, where a program was refused. */
  readonly verifierLog: string | undefined;

  constructor(operation: string, errno: number, verifierLog?: string) {
    const name = ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
    const remedy = name === 'EPERM' ? ' (needed: root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)' : '';
    super(`${operation}: ${name}${remedy}${verifierLog ? `\n${verifierLog}` : ''}`);
    this.operation = operation;
    this.errno = name;
    this.verifierLog = verifierLog;
  }
}

/** libbpf returns -errno; 0 and above is success. */
function checked(operation: string, result: number): number {
  if (result < 0) throw new BpfError(operation, -result);
  return result;
}

/** Not touched, and so not resident, but for what the kernel writes. Where it is too small the errno is ENOSPC, whatever the reason. */
const VERIFIER_LOG_BYTES = 1 << 26;
const VERIFIER_LOG_LINES = 12;

/** A compiled object file, opened; maps can still be given shape before `load`. */
export class BpfObject {
  readonly #object: Pointer;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.#object = c.objectOpenFile(path, null) as Pointer;
    if (!this.#object) throw new BpfError(`open ${path}`, koffi.errno());
  }

  #map(name: string): Pointer {
    const map = c.findMap(this.#object, name) as Pointer;
    if (!map) throw new Error(`${this.#path} has no map "${name}": was it built from this version's source?`);
    return map;
  }

  #program(name: string): Pointer {
    const program = c.findProgram(this.#object, name) as Pointer;
    if (!program) throw new Error(`${this.#path} has no program "${name}": was it built from this version's source?`);
    return program;
  }

  setMaxEntries(map: string, entries: number): void {
    checked(`set the size of map ${map}`, c.mapSetMaxEntries(this.#map(map), entries) as number);
  }

  /** What the object declares of a map. */
  mapShape(name: string): MapShape {
    const map = this.#map(name);
    return {
      type: c.mapType(map) as number,
      keySize: c.mapKeySize(map) as number,
      valueSize: c.mapValueSize(map) as number,
      maxEntries: c.mapMaxEntries(map) as number,
      flags: c.mapFlags(map) as number,
    };
  }

  /** Uses an existing map instead of making one. libbpf duplicates the descriptor; the caller closes its own. */
  reuseMap(map: string, fd: number): void {
    checked(`adopt map ${map}`, c.mapReuseFd(this.#map(map), fd) as number);
  }

  /** @param explain program whose verifier log is kept for the error */
  load(explain: string): void {
    const log = Buffer.alloc(VERIFIER_LOG_BYTES);
    checked('keep the verifier log', c.programSetLogBuffer(this.#program(explain), log, log.length) as number);
    const result = withSignalsBlocked(() => c.objectLoad(this.#object) as number);
    if (result < 0) {
      const text = log.toString('latin1', 0, Math.max(0, log.indexOf(0)));
      throw new BpfError(
        `load ${this.#path}`,
        -result,
        text.trimEnd().split('\n').slice(-VERIFIER_LOG_LINES).join('\n'),
      );
    }
  }

  /** Descriptor of a loaded map; it is the object's, and closed with it. */
  mapFd(name: string): number {
    return checked(`find map ${name}`, c.mapFd(this.#map(name)) as number);
  }

  programFd(name: string): number {
    return checked(`find program ${name}`, c.programFd(this.#program(name)) as number);
  }

  close(): void {
    c.objectClose(this.#object);
  }
}

/** Opens what is pinned at `path`; undefined when nothing is. The caller closes the descriptor. */
export function openPin(path: string): number | undefined {
  const result = c.objGet(path) as number;
  if (result === -constants.errno.ENOENT) return undefined;
  return checked(`open the pin ${path}`, result);
}

export function pin(fd: number, path: string): void {
  checked(`pin ${path}`, c.objPin(fd, path) as number);
}

/** What two maps must have in common for one to stand in the other's place. */
export interface MapShape {
  /** enum bpf_map_type */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

export const MapType = { HASH: 1, ARRAY: 2 } as const;
export const MAP_MMAPABLE = 1 << 10;

function objectInfo(operation: string, fd: number, bytes: number): DataView {
  const info = Buffer.alloc(bytes);
  checked(operation, c.objInfo(fd, info, [bytes]) as number);
  return new DataView(info.buffer, info.byteOffset, bytes);
}

/** struct bpf_map_info; of something else than a map it makes no sense, and so fits no map that is expected. */
export function mapShape(fd: number): MapShape {
  const view = objectInfo('ask for a map', fd, 80);
  const word = (index: number): number => view.getUint32(4 * index, true);
  return { type: word(0), keySize: word(2), valueSize: word(3), maxEntries: word(4), flags: word(5) };
}

/** struct bpf_prog_info: the id under which links name the program. */
export function programId(fd: number): number {
  return objectInfo('ask for a program', fd, 8).getUint32(4, true);
}

export interface XdpLinkInfo {
  programId: number;
  /** 0 once the interface is gone. */
  interfaceIndex: number;
}

const BPF_LINK_TYPE_XDP = 6;

/** struct bpf_link_info; undefined for what is no XDP link */
export function xdpLinkInfo(fd: number): XdpLinkInfo | undefined {
  // The kernel tells of anything that is asked for; of an XDP program, too, the first word is a 6.
  if (!/^link_id:/m.test(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))) return undefined;
  const view = objectInfo('ask for a link', fd, 32);
  if (view.getUint32(0, true) !== BPF_LINK_TYPE_XDP) return undefined;
  return { programId: view.getUint32(8, true), interfaceIndex: view.getUint32(16, true) };
}

export type XdpMode = 'native' | 'generic';

const BPF_XDP = 37;
const XDP_FLAGS: Record<XdpMode, number> = { generic: 1 << 1, native: 1 << 2 };

/** Attaches by a link (kernel 5.9): who holds it, or its pin, holds the program on the interface. */
export function attachXdp(programFd: number, interfaceIndex: number, mode: XdpMode): number {
  const opts = new DataView(new ArrayBuffer(16)); // struct bpf_link_create_opts up to `flags`
  opts.setBigUint64(0, 16n, true);
  opts.setUint32(8, XDP_FLAGS[mode], true);
  return checked(`attach (${mode})`, c.linkCreate(programFd, interfaceIndex, BPF_XDP, opts.buffer) as number);
}

/** Puts another program in the link's place between two packets. */
export function updateLink(linkFd: number, programFd: number): void {
  checked('replace the program', c.linkUpdate(linkFd, programFd, null) as number);
}

export function detachLink(linkFd: number): void {
  checked('detach', c.linkDetach(linkFd) as number);
}

/** How a program is attached to the interface now; undefined when none is. */
export function attachedXdp(
  interfaceIndex: number,
): { programId: number; mode: XdpMode | 'offloaded' | 'several' } | undefined {
  const opts = new DataView(new ArrayBuffer(32)); // struct bpf_xdp_query_opts
  opts.setBigUint64(0, 32n, true);
  checked('ask for the XDP program of an interface', c.xdpQuery(interfaceIndex, 0, opts.buffer) as number);
  const mode = (['native', 'generic', 'offloaded', 'several'] as const)[opts.getUint8(24) - 1];
  return mode && { programId: opts.getUint32(8, true), mode };
}

/** How many values an element of a per-CPU map has. */
export function possibleCpus(): number {
  return checked('count the CPUs', c.possibleCpus() as number);
}

export function mapUpdate(fd: number, key: Uint8Array, value: Uint8Array): void {
  checked('write to a map', c.mapUpdate(fd, key, value, 0) as number);
}

/** Fills `value`; false when the key isn't there. A per-CPU map gives its value for each possible CPU, each rounded up to 8 bytes. */
export function mapLookup(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  const result = c.mapLookup(fd, key, value) as number;
  if (result === -constants.errno.ENOENT) return false;
  checked('read from a map', result);
  return true;
}

/** False when the key wasn't there. */
export function mapDelete(fd: number, key: Uint8Array): boolean {
  const result = c.mapDelete(fd, key) as number;
  if (result === -constants.errno.ENOENT) return false;
  checked('delete from a map', result);
  return true;
}

/** All keys of a small map, at most `limit`. */
export function mapKeys(fd: number, keySize: number, limit: number): Uint8Array[] {
  const keys: Uint8Array[] = [];
  let previous: Uint8Array | null = null;
  while (keys.length < limit) {
    const next = Buffer.alloc(keySize);
    const result = c.mapNextKey(fd, previous, next) as number;
    if (result === -constants.errno.ENOENT) break;
    checked('walk a map', result);
    keys.push(next);
    previous = next;
  }
  return keys;
}

/**
 * The next elements of a hash map, up to `limit`, into `keys` and `values` (kernel 5.6).
 * @param cursor 4 bytes, changed in place
 * @returns how many, and whether the walk is at its end
 */
export function mapLookupBatch(
  fd: number,
  cursor: Uint8Array,
  first: boolean,
  keys: Uint8Array,
  values: Uint8Array,
  limit: number,
): { count: number; end: boolean } {
  const count = [limit];
  const result = c.mapLookupBatch(fd, first ? null : cursor, cursor, keys, values, count, null) as number;
  if (result < 0 && result !== -constants.errno.ENOENT) throw new BpfError('walk a map', -result);
  return { count: count[0] ?? 0, end: result < 0 };
}

/** struct bpf_test_run_opts */
const TEST_RUN = {
  size: 80,
  dataIn: 8,
  dataOut: 16,
  dataSizeIn: 24,
  dataSizeOut: 28,
  ctxIn: 32,
  ctxSizeIn: 48,
} as const;
const TEST_RUN_RESULT = { retval: 56, repeat: 60, durationNs: 64 } as const;

/** Runs a program by BPF_PROG_RUN again and again over the same context. */
export class ContextRunner {
  readonly #fd: number;
  readonly #opts = new DataView(new ArrayBuffer(TEST_RUN.size));
  /** Kept: the options hold its address. */
  readonly #context: ArrayBuffer;

  /** @param context read and written by the program */
  constructor(programFd: number, context: ArrayBuffer) {
    this.#fd = programFd;
    this.#context = context;
    this.#opts.setBigUint64(0, BigInt(TEST_RUN.size), true);
    this.#opts.setBigUint64(TEST_RUN.ctxIn, koffi.address(this.#context), true);
    this.#opts.setUint32(TEST_RUN.ctxSizeIn, context.byteLength, true);
  }

  /** Returns the program's return value. */
  run(): number {
    checked('run a program', c.testRun(this.#fd, this.#opts.buffer) as number);
    return this.#opts.getUint32(TEST_RUN_RESULT.retval, true);
  }
}

export interface PacketRun {
  /** XDP_ABORTED 0, DROP 1, PASS 2, TX 3, REDIRECT 4 */
  action: number;
  packet: Uint8Array;
  /** Mean of one run. */
  durationNs: number;
}

/** Runs an XDP program on one frame by BPF_PROG_RUN. Frames shorter than 14 bytes are refused by the kernel (EINVAL). */
export function runOnPacket(programFd: number, packet: Uint8Array, repeat = 1): PacketRun {
  const input = new Uint8Array(new ArrayBuffer(packet.length));
  input.set(packet);
  const output = new Uint8Array(new ArrayBuffer(packet.length + 256));
  const opts = new DataView(new ArrayBuffer(TEST_RUN.size));
  opts.setBigUint64(0, BigInt(TEST_RUN.size), true);
  opts.setBigUint64(TEST_RUN.dataIn, koffi.address(input.buffer), true);
  opts.setBigUint64(TEST_RUN.dataOut, koffi.address(output.buffer), true);
  opts.setUint32(TEST_RUN.dataSizeIn, input.length, true);
  opts.setUint32(TEST_RUN.dataSizeOut, output.length, true);
  opts.setInt32(TEST_RUN_RESULT.repeat, repeat, true);
  checked('run on a packet', c.testRun(programFd, opts.buffer) as number);
  return {
    action: opts.getUint32(TEST_RUN_RESULT.retval, true),
    packet: output.slice(0, opts.getUint32(TEST_RUN.dataSizeOut, true)),
    durationNs: opts.getUint32(TEST_RUN_RESULT.durationNs, true),
  };
}
