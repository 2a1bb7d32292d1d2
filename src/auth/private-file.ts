/**
 * Reads a small file from disk that may hold a secret: bounded, never waiting, and only if nobody else can read it.
 * May be imported by every floor above.
 */
import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';

const GROUP_ANY = 0o070;
const GROUP_WRITE = 0o020;
const OTHERS_ANY = 0o007;
const PERMISSIONS = 0o7777;

export type PrivateFileFault = 'unreadable' | 'not-regular' | 'exposed' | 'too-large' | 'not-text';

/** The file is refused. Nothing of what is in it is quoted. */
export class PrivateFileError extends Error {
  override readonly name = 'PrivateFileError';
  readonly fault: PrivateFileFault;
  /** The message without the file's name before it. */
  readonly reason: string;

  constructor(fault: PrivateFileFault, path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: ${reason}`, options);
    this.fault = fault;
    this.reason = reason;
  }
}

/** Ids of this process's effective group and of its supplementary ones, as a service is given for its secrets. */
export function processGroups(): number[] {
  return [...(process.getegid ? [process.getegid()] : []), ...(process.getgroups ? process.getgroups() : [])];
}

/** The folder of what systemd hands to this service (LoadCredential=), if it hands it anything. */
export function credentialsFolder(): string | undefined {
  return process.env['CREDENTIALS_DIRECTORY'];
}

/**
 * Reads a file that nobody but its owner may use, and its group only if that is one of the process's own, or the file one that systemd hands
 * to this service.
 * @param path a symbolic link is followed; what it leads to is judged
 * @param ownGroups group ids that are the process's own
 * @param credentials folder of what systemd hands to this service
 * @throws PrivateFileError
 */
export function readPrivateFile(
  path: string,
  maxBytes: number,
  ownGroups: readonly number[],
  credentials = credentialsFolder(),
): string {
  return readText(path, maxBytes, (stats) => requirePrivate(path, stats, ownGroups, credentials));
}

/**
 * Reads a file of which only the size and the kind are judged.
 * @throws PrivateFileError
 */
export function readBoundedFile(path: string, maxBytes: number): string {
  return readText(path, maxBytes, () => undefined);
}

function readText(path: string, maxBytes: number, judge: (stats: Stats) => void): string {
  let descriptor: number | undefined;
  try {
    // NONBLOCK: opening a named pipe must not wait for its writer.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // Judged is the file that is open, not the name: another file could take the name in between.
    const stats = fstatSync(descriptor);
    requireRegular(path, stats);
    judge(stats);
    return readBounded(path, descriptor, maxBytes);
  } catch (error) {
    if (error instanceof PrivateFileError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new PrivateFileError('unreadable', path, `can't be read: ${reason}`, { cause: error });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function requireRegular(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  throw new PrivateFileError('not-regular', path, `found ${kindOf(stats)}, allowed: a regular file`);
}

function requirePrivate(path: string, stats: Stats, ownGroups: readonly number[], credentials?: string): void {
  const found = `found mode 0${(stats.mode & PERMISSIONS).toString(8)}, group ${stats.gid}`;
  if ((stats.mode & OTHERS_ANY) !== 0) {
    const chmod = ownGroups.includes(stats.gid) ? 'o=' : 'go=';
    throw new PrivateFileError(
      'exposed',
      path,
      `${found}, allowed: no access for others; run: chmod ${chmod} ${path} (and replace the secrets if others could read them)`,
    );
  }
  if ((stats.mode & GROUP_ANY) !== 0 && !ownGroups.includes(stats.gid) && !isCredential(path, stats, credentials)) {
    throw new PrivateFileError(
      'exposed',
      path,
      `${found}, allowed: access for the group only if it is one of this process's (${ownGroups.join(', ')}); run: chmod g= ${path}`,
    );
  }
}

/**
 * systemd 254 and newer keeps credentials on a tmpfs, as root's with mode 0400 and an access control list (acl(5)) that lets the service's
 * user read. With such a list the bits of the group are its mask, and no access of group 0.
 */
function isCredential(path: string, stats: Stats, folder: string | undefined): boolean {
  if (folder === undefined || stats.uid !== 0 || stats.gid !== 0 || (stats.mode & GROUP_WRITE) !== 0) return false;
  return dirname(realpathSync(path)) === realpathSync(folder);
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a named pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

function readBounded(path: string, descriptor: number, maxBytes: number): string {
  const buffer = new Uint8Array(maxBytes + 1);
  try {
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(descriptor, buffer, length, buffer.length - length, null);
      if (count === 0) return decode(buffer.subarray(0, length), path);
      length += count;
    }
    throw new PrivateFileError('too-large', path, `found more than ${maxBytes} bytes, allowed: at most ${maxBytes}`);
  } finally {
    buffer.fill(0);
  }
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new PrivateFileError('not-text', path, `found bytes that are not UTF-8, allowed: UTF-8`, { cause: error });
  }
}
