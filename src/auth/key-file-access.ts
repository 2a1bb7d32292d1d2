/**
 * Reads the key file from disk, if nobody else can (docs/configuration.md, "Keys"). May be imported by every floor above.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { KeyFileError } from './errors.ts';
import { parseKeyFile } from './key-file.ts';
import type { Keyring } from './keyring.ts';

/** 256 keys take about 64 KiB; the rest is room for comments. */
export const KEY_FILE_MAX_BYTES = 256 * 1024;

const GROUP_ANY = 0o070;
const OTHERS_ANY = 0o007;
const PERMISSIONS = 0o7777;

/**
 * Reads and parses the key file.
 *
 * Others than owner and group must have no access. The group may have access only if it is one of the process's own:
 * its effective group, or a supplementary one, as a service is given for its secrets.
 * @param path a symbolic link is followed; what it leads to is judged
 * @param ownGroups group ids that are the process's own
 * @throws KeyFileError with any of the KEY_FILE codes
 */
export function readKeyFile(path: string, ownGroups: readonly number[] = processGroups()): Keyring {
  const bytes = readPrivate(path, ownGroups);
  try {
    return parseKeyFile(decode(bytes, path), path);
  } finally {
    bytes.fill(0);
  }
}

function processGroups(): number[] {
  return [...(process.getegid ? [process.getegid()] : []), ...(process.getgroups ? process.getgroups() : [])];
}

function readPrivate(path: string, ownGroups: readonly number[]): Uint8Array {
  let descriptor: number | undefined;
  try {
    // NONBLOCK: opening a named pipe must not wait for its writer.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    requirePrivate(path, fstatSync(descriptor), ownGroups);
    return readBounded(path, descriptor);
  } catch (error) {
    if (error instanceof KeyFileError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new KeyFileError('KEY_FILE_UNREADABLE', [`${path}: can't be read: ${reason}`], { cause: error });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Judges the file that is open, not the name: another file could take the name in between. */
function requirePrivate(path: string, stats: Stats, ownGroups: readonly number[]): void {
  if (!stats.isFile()) {
    throw new KeyFileError('KEY_FILE_NOT_REGULAR', [`${path}: found ${kindOf(stats)}, allowed: a regular file`]);
  }
  const found = `${path}: found mode 0${(stats.mode & PERMISSIONS).toString(8)}, group ${stats.gid}`;
  if ((stats.mode & OTHERS_ANY) !== 0) {
    const chmod = ownGroups.includes(stats.gid) ? 'o=' : 'go=';
    throw new KeyFileError('KEY_FILE_EXPOSED', [
      `${found}, allowed: no access for others; run: chmod ${chmod} ${path} (and replace the secrets if others could read them)`,
    ]);
  }
  if ((stats.mode & GROUP_ANY) !== 0 && !ownGroups.includes(stats.gid)) {
    throw new KeyFileError('KEY_FILE_EXPOSED', [
      `${found}, allowed: access for the group only if it is one of this process's (${ownGroups.join(', ')}); run: chmod g= ${path}`,
    ]);
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a named pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

function readBounded(path: string, descriptor: number): Uint8Array {
  const buffer = new Uint8Array(KEY_FILE_MAX_BYTES + 1);
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(descriptor, buffer, length, buffer.length - length, null);
    if (count === 0) return buffer.subarray(0, length);
    length += count;
  }
  buffer.fill(0);
  throw new KeyFileError('KEY_FILE_TOO_LARGE', [
    `${path}: found more than ${KEY_FILE_MAX_BYTES} bytes, allowed: at most ${KEY_FILE_MAX_BYTES}`,
  ]);
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new KeyFileError('KEY_FILE_SYNTAX', [`${path}: found bytes that are not UTF-8, allowed: UTF-8`], {
      cause: error,
    });
  }
}
