/**
 * The coded errors of src/auth: one catalogue. May be imported by every floor above.
 * No message and no field ever holds a secret or anything derived from one.
 */

export type AuthErrorCode =
  /** A key was used after its secret was wiped. */
  | 'KEY_WIPED'
  /** Two keys of one keyring have the same id or the same name. */
  | 'KEY_DUPLICATE'
  /** More keys than a keyring holds. */
  | 'KEYS_TOO_MANY'
  /** An id that is in use stands for another secret, suite or encryption setting in the next keyring. */
  | 'KEY_ID_REUSED'
  /** The key file can't be opened or read. */
  | 'KEY_FILE_UNREADABLE'
  /** The key file is not a regular file. */
  | 'KEY_FILE_NOT_REGULAR'
  /** Someone other than the daemon may read or change the key file. */
  | 'KEY_FILE_EXPOSED'
  /** The key file is longer than any key file can be. */
  | 'KEY_FILE_TOO_LARGE'
  /** The key file is not UTF-8 or not YAML. */
  | 'KEY_FILE_SYNTAX'
  /** The key file's keys are not as they must be. */
  | 'KEY_FILE_CONTENT';

export class AuthError extends Error {
  override readonly name: string = 'AuthError';
  readonly code: AuthErrorCode;

  constructor(code: AuthErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The key file is refused as a whole. `problems` has one line for each thing that is wrong, file name and place included. */
export class KeyFileError extends AuthError {
  override readonly name: string = 'KeyFileError';
  readonly problems: readonly string[];

  constructor(code: AuthErrorCode, problems: readonly string[], options?: ErrorOptions) {
    super(code, problems.join('\n'), options);
    this.problems = problems;
  }
}
