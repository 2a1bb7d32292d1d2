/**
 * The bpffs directory that outlives the daemon, and the lock that gives it to one daemon at a time.
 *
 *     PINS/maps-<layout>-<capacity>/<map>   one directory for each layout of the maps: struct layouts and capacity
 *     PINS/shared-<layout>/<map>            clock, keys and addresses: the same for programs of different layouts
 *     PINS/links/<interface>                the attachment of the program to an interface
 *
 * A directory of maps appears whole and goes whole, by a rename. Maps of another layout are never adopted: they serve
 * until the new ones are filled, and are removed then. What else is in PINS is not ours, and is left alone.
 */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { ABI_HASH, SHARED_HASH } from '../../abi.ts';
import { tryLock } from './libc.ts';

const BPF_FS_MAGIC = 0xcafe4a11;
const MAP_DIRECTORY = /^(maps|shared)-/;
/** What the name of a directory ends in that is on its way in or out. */
const PASSING = /-(unfinished|removed)$/;
/** How often the directory may be taken away between being opened and being locked. */
const LOCK_TRIES = 10;

export class NoBpffsError extends Error {
  override readonly name = 'NoBpffsError';
  constructor(path: string, cause?: unknown) {
    super(
      `${path} is not on a BPF file system: mount one with "mount -t bpf bpf /sys/fs/bpf" and let "pins" name a directory in it`,
      { cause },
    );
  }
}

export class PinsInUseError extends Error {
  override readonly name = 'PinsInUseError';
  readonly pid: number | undefined;
  constructor(path: string, pid: number | undefined) {
    super(
      `${path} belongs to another gateway${pid === undefined ? '' : `, process ${pid}`}: stop that one first, or give this one "pins" of its own`,
    );
    this.pid = pid;
  }
}

export class Pins {
  readonly path: string;
  readonly #descriptor: number;

  /**
   * Makes the directory and takes the lock, which ends with the process however that ends.
   * @throws NoBpffsError, PinsInUseError
   */
  constructor(path: string) {
    this.path = path;
    if (!canHoldPins(path)) throw new NoBpffsError(path);
    this.#descriptor = openLocked(path);
    fs.mkdirSync(this.links, { recursive: true });
    for (const directory of this.#mapDirectories()) if (PASSING.test(directory)) remove(directory);
  }

  get links(): string {
    return join(this.path, 'links');
  }

  /** bpffs keeps names with a dot for itself, and VLAN interfaces have one. */
  link(interfaceName: string): string {
    return join(this.links, encodeURIComponent(interfaceName).replaceAll('.', '%2E'));
  }

  /** Where links are pinned. */
  linkFiles(): string[] {
    return fs.readdirSync(this.links).map((name) => join(this.links, name));
  }

  maps(capacity: number): string {
    return join(this.path, `maps-${ABI_HASH}-${capacity}`);
  }

  get shared(): string {
    return join(this.path, `shared-${SHARED_HASH}`);
  }

  /** Directories of maps that have another layout or capacity, or were put aside. */
  otherMaps(capacity: number): string[] {
    return this.#mapDirectories().filter((path) => path !== this.maps(capacity) && path !== this.shared);
  }

  #mapDirectories(): string[] {
    const names = fs.readdirSync(this.path).filter((name) => MAP_DIRECTORY.test(name));
    return names.map((name) => join(this.path, name));
  }

  /** Makes a directory that `fill` pins maps into. */
  publish(directory: string, fill: (directory: string) => void): void {
    const unfinished = `${directory}-unfinished`;
    fs.mkdirSync(unfinished);
    fill(unfinished);
    fs.renameSync(unfinished, directory);
  }

  /** A directory that is not what its name says no longer has that name; a program that uses its maps goes on. */
  putAside(directory: string): void {
    const aside = `${directory}-aside`;
    if (fs.existsSync(aside)) remove(aside);
    fs.renameSync(directory, aside);
  }

  removeMaps(directory: string): void {
    remove(directory);
  }

  /** Removes everything that is ours; what is attached stays attached only while somebody else holds its link. */
  removeAll(): void {
    for (const directory of this.#mapDirectories()) remove(directory);
    fs.rmSync(this.links, { recursive: true, force: true });
    try {
      fs.rmdirSync(this.path);
    } catch {
      // Somebody else's pins are in it; or root made it for a daemon with fewer rights, and only root takes it away.
    }
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}

/** In two steps: whoever is killed in between leaves none that is not whole under a name that is adopted. */
function remove(directory: string): void {
  const removed = PASSING.test(directory) ? directory : `${directory}-removed`;
  if (removed !== directory) fs.renameSync(directory, removed);
  fs.rmSync(removed, { recursive: true, force: true });
}

/**
 * The directory, made if need be, open and locked.
 * @throws PinsInUseError
 */
function openLocked(path: string): number {
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    const descriptor = makeAndOpen(path);
    if (descriptor === undefined) continue;
    if (!tryLock(descriptor)) {
      const pid = lockHolder(descriptor);
      fs.closeSync(descriptor);
      throw new PinsInUseError(path, pid);
    }
    // A "gateway detach" may have removed it meanwhile: a lock on what is gone keeps nobody out.
    if (fs.statSync(path, { throwIfNoEntry: false })?.ino === fs.fstatSync(descriptor).ino) return descriptor;
    fs.closeSync(descriptor);
  }
  throw new PinsInUseError(path, undefined);
}

/** Undefined when it was removed on the way. */
function makeAndOpen(path: string): number | undefined {
  try {
    fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    return fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Whether a directory that is there or is yet to be made is on a BPF file system. */
export function canHoldPins(path: string): boolean {
  try {
    return fs.statfsSync(path).type === BPF_FS_MAGIC;
  } catch (error) {
    if (!(isAbsent(error) || isInFile(error)) || path === dirname(path)) throw error;
    return canHoldPins(dirname(path));
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;
const isAbsent = (error: unknown): boolean => hasCode(error, 'ENOENT');
const isInFile = (error: unknown): boolean => hasCode(error, 'ENOTDIR');

/** The process that holds a lock on the file, as /proc/locks has it; undefined where that is of another pid namespace. */
function lockHolder(descriptor: number): number | undefined {
  const { ino } = fs.fstatSync(descriptor);
  for (const line of fs.readFileSync('/proc/locks', 'utf8').split('\n')) {
    const match = /FLOCK\s+\S+\s+\S+\s+(\d+)\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s/.exec(line);
    if (match && Number(match[2]) === ino && match[1] !== '0') return Number(match[1]);
  }
  return undefined;
}
