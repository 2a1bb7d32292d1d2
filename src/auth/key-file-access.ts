/**
 * Reads the key file from disk, if nobody else can (docs/configuration.md, "Keys"). May be imported by every floor above.
 */
import { type AuthErrorCode, KeyFileError } from './errors.ts';
import { parseKeyFile } from './key-file.ts';
import type { Keyring } from './keyring.ts';
import {
  credentialsFolder,
  PrivateFileError,
  type PrivateFileFault,
  processGroups,
  readPrivateFile,
} from './private-file.ts';

/** 256 keys take about 64 KiB; the rest is room for comments. */
export const KEY_FILE_MAX_BYTES = 256 * 1024;

const CODES: Readonly<Record<PrivateFileFault, AuthErrorCode>> = {
  unreadable: 'KEY_FILE_UNREADABLE',
  'not-regular': 'KEY_FILE_NOT_REGULAR',
  exposed: 'KEY_FILE_EXPOSED',
  'too-large': 'KEY_FILE_TOO_LARGE',
  'not-text': 'KEY_FILE_SYNTAX',
};

/**
 * Reads and parses the key file.
 *
 * Others than owner and group must have no access. The group may have access only if it is one of the process's own:
 * its effective group, or a supplementary one, as a service is given for its secrets; or if systemd hands the file to this service.
 * @param path a symbolic link is followed; what it leads to is judged
 * @param ownGroups group ids that are the process's own
 * @param credentials folder of what systemd hands to this service
 * @throws KeyFileError with any of the KEY_FILE codes
 */
export function readKeyFile(
  path: string,
  ownGroups: readonly number[] = processGroups(),
  credentials = credentialsFolder(),
): Keyring {
  return parseKeyFile(readPrivate(path, ownGroups, credentials), path);
}

function readPrivate(path: string, ownGroups: readonly number[], credentials: string | undefined): string {
  try {
    return readPrivateFile(path, KEY_FILE_MAX_BYTES, ownGroups, credentials);
  } catch (error) {
    if (!(error instanceof PrivateFileError)) throw error;
    throw new KeyFileError(CODES[error.fault], [error.message], { cause: error.cause });
  }
}
