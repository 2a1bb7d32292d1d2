/**
 * The scripts that read sessions and tables on the server's side, and how one is run. May be imported by every floor above.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SyncError } from '../errors.ts';
import type { Argument, Connection } from './connection.ts';

export interface Script {
  readonly text: string;
  readonly sha1: string;
}

function script(...files: string[]): Script {
  const text = files.map((file) => readFileSync(new URL(file, import.meta.url), 'utf8')).join('');
  return { text, sha1: createHash('sha1').update(text).digest('hex') };
}

/** One page of a snapshot. */
export const PAGE_SCRIPT = script('./record.lua', './page.lua');
/** One key. */
export const KEY_SCRIPT = script('./record.lua', './key.lua');
/** The feed's stream, in numbers. */
export const STREAM_SCRIPT = script('./stream.lua');
/** A hash of bounded size, or some of it. */
export const HASH_SCRIPT = script('./hash.lua');
/** One page of the revoked sessions. */
export const DENIED_SCRIPT = script('./denied.lua');

/**
 * Runs a script by its digest, and where Redis doesn't know it by its text.
 * @throws SyncError as `Connection.call`
 */
export function evaluate(
  connection: Connection,
  script: Script,
  keys: readonly Argument[],
  args: readonly Argument[],
): Promise<unknown> {
  return evaluateBy((command, ...rest) => connection.call(command, ...rest), script, keys, args);
}

/** The same; `send` sends the command. */
export async function evaluateBy<T>(
  send: (command: string, ...args: readonly Argument[]) => Promise<T>,
  { text, sha1 }: Script,
  keys: readonly Argument[],
  args: readonly Argument[],
): Promise<T> {
  try {
    return await send('EVALSHA_RO', sha1, keys.length, ...keys, ...args);
  } catch (error) {
    if (!isNoScript(error)) throw error;
    // With its text it is run and kept in one step; a flush can't come between the two.
    return await send('EVAL_RO', text, keys.length, ...keys, ...args);
  }
}

/** Whether Redis doesn't know the script. */
export function isNoScript(error: unknown): boolean {
  return error instanceof SyncError && error.message.includes('NOSCRIPT');
}
