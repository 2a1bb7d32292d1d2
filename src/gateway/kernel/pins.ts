/**
 * The bpffs directory that outlives the daemon, and the lock that gives it to one daemon at a time.
 *
 *     PINS/maps-<layout>/<map>     one directory for each layout of the maps: struct layouts and capacity
 *     PINS/links/<interface>       the attachment of the program to an interface
 *
 * A directory of maps appears whole, by a rename, or not at all. Maps of another layout are never
 * adopted: they serve until the new ones are filled, and are removed then.
 */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { ABI_HASH } from '../../abi.ts';
import { tryLock } from './libc.ts';

const BPF_FS_MAGIC = 0xcafe4a11;

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
    if (!isOnBpffs(existingAncestor(path))) throw new NoBpffsError(path);
    fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    this.#descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    if (!tryLock(this.#descriptor)) {
      const pid = lockHolder(this.#descriptor);
      fs.closeSync(this.#descriptor);
      throw new PinsInUseError(path, pid);
    }
    fs.mkdirSync(this.links, { recursive: true });
  }

  get links(): string {
    return join(this.path, 'links');
  }

  /** bpffs keeps names with a dot for itself, and VLAN interfaces have one. */
  link(interfaceName: string): string {
    return join(this.links, encodeURIComponent(interfaceName).replaceAll('.', '%2E'));
  }

  /** Interfaces to which something of ours is pinned. */
  linked(): string[] {
    return fs.readdirSync(this.links).map(decodeURIComponent);
  }

  maps(capacity: number): string {
    return join(this.path, `maps-${ABI_HASH}-${capacity}`);
  }

  /** Directories of maps that have another layout or capacity, or never became whole. */
  otherMaps(capacity: number): string[] {
    return fs
      .readdirSync(this.path)
      .map((name) => join(this.path, name))
      .filter((path) => path !== this.maps(capacity) && path !== this.links);
  }

  /** Removes everything; what is attached stays attached only while somebody else holds its link. */
  removeAll(): void {
    fs.rmSync(this.path, { recursive: true, force: true });
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}

function existingAncestor(path: string): string {
  let ancestor = path;
  while (!fs.existsSync(ancestor) && ancestor !== dirname(ancestor)) ancestor = dirname(ancestor);
  return ancestor;
}

function isOnBpffs(path: string): boolean {
  return fs.statfsSync(path).type === BPF_FS_MAGIC;
}

/** The process that holds a lock on the file, as /proc/locks has it; undefined where that is of another pid namespace. */
function lockHolder(descriptor: number): number | undefined {
  const { ino } = fs.fstatSync(descriptor);
  for (const line of fs.readFileSync('/proc/locks', 'utf8').split('\n')) {
    const match = /FLOCK\s+\S+\s+\S+\s+(\d+)\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s/.exec(line);
    if (match && Number(match[2]) === ino && match[1] !== '0') return Number(match[1]);
  }
  return undefined;
}
