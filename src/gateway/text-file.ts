/**
 * Reads a small file that the configuration is, or names: bounded, and never waiting for a named pipe. May be imported by
 * src/gateway only.
 */
import { PrivateFileError, readBoundedFile } from '../auth/private-file.ts';
import { failure, reasonOf } from './errors.ts';

/** @throws GatewayError CONFIG_UNREADABLE */
export function readTextFile(file: string, maxBytes: number): string {
  try {
    return readBoundedFile(file, maxBytes);
  } catch (error) {
    if (!(error instanceof PrivateFileError)) throw error;
    const reason = error.fault === 'unreadable' ? reasonOf(error.cause) : error.reason;
    throw failure('CONFIG_UNREADABLE', { file, reason }, error.cause);
  }
}
