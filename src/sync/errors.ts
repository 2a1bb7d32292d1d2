/**
 * The coded errors of src/sync: one catalogue. May be imported by every floor above.
 * No message holds a session id, a password or a secret.
 */

export type SyncErrorCode =
  /** Redis can't be reached, or it refused the user, the password or the database. */
  | 'REDIS_CONNECT'
  /** A connection to Redis was cut. */
  | 'REDIS_CLOSED'
  /** Redis did not answer in time; the connection was dropped. */
  | 'REDIS_TIMEOUT'
  /** Redis is older than 7.0. */
  | 'REDIS_TOO_OLD'
  /** Redis answered with something that this command never answers. */
  | 'REDIS_REPLY'
  /** Redis answered with more bytes than are kept; the connection was dropped. */
  | 'REPLY_TOO_LARGE'
  /** Redis answered a command with an error. */
  | 'REDIS_REFUSED'
  /** Nobody names a master, or the one that is named is none. */
  | 'NO_MASTER'
  /** Sessions are read from another server than the feed, as behind an address that leads to several, or one that went back. */
  | 'SERVERS_DIFFER'
  /** More sessions changed while one snapshot page was under way than are remembered. */
  | 'PAGE_OVERTAKEN'
  /** The function library refused the arguments of a call. */
  | 'FUNCTION_REFUSED';

export class SyncError extends Error {
  override readonly name: string = 'SyncError';
  readonly code: SyncErrorCode;

  constructor(code: SyncErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The longest error message that is shown, in UTF-16 code units. */
const MESSAGE_MAX = 300;

/** Redis 7.0 does not say which command it was, but a digest of the script. */
const SCRIPT_REFUSED = /(The user executing the script can't run this command or subcommand)(?: script: .*)?$/;
const SCRIPT_NEEDS = 'needed: a user as in docs/redis.md, "Access control"; ACL LOG in Redis names the command';

/** What went wrong, as one line that can be logged. */
export function errorMessage(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  // Redis repeats the arguments of a command that it doesn't know.
  const line = text
    .replaceAll(/\s+/g, ' ')
    .replace(/, with args beginning with:.*/, '')
    .replace(SCRIPT_REFUSED, `$1: ${SCRIPT_NEEDS}`);
  return line.length > MESSAGE_MAX ? `${line.slice(0, MESSAGE_MAX)}…` : line;
}

/**
 * An error as ioredis throws it, without the command's arguments that ioredis hangs on it: among them are
 * passwords and session ids.
 */
export function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && 'command' in error) delete error.command;
  return error;
}
