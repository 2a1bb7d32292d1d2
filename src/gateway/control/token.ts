/**
 * The bearer token of the control API over TCP (RFC 6750): read from its file, compared without telling how much of a
 * guess was right. May be imported by src/gateway only.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { PrivateFileError, processGroups, readPrivateFile } from '../../auth/private-file.ts';
import { failure } from '../errors.ts';

export const TOKEN_MIN_CHARACTERS = 32;
export const TOKEN_MAX_CHARACTERS = 1024;
const LINE_BREAK = 2;
/** Visible ASCII: what a header field carries without quoting. */
const TOKEN = /^[!-~]+$/;

/** A token of which only a digest is kept. */
export class Token {
  readonly #digest: Buffer;

  constructor(text: string) {
    this.#digest = digestOf(text);
  }

  /** Compares digests, which have one length, so that neither length nor content of the token shows in the time. */
  matches(text: string): boolean {
    return timingSafeEqual(digestOf(text), this.#digest);
  }

  equals(other: Token): boolean {
    return timingSafeEqual(other.#digest, this.#digest);
  }

  toString(): string {
    return 'token';
  }
}

function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/**
 * Reads the token file: the token and nothing else; a line break at its end doesn't count.
 * @throws GatewayError TOKEN_FILE_INVALID where the file can't be read, others can read it, or it holds no good token
 */
export function readToken(file: string, ownGroups: readonly number[] = processGroups()): Token {
  const text = readText(file, ownGroups).replace(/\r?\n$/, '');
  const allowed = `${TOKEN_MIN_CHARACTERS} to ${TOKEN_MAX_CHARACTERS} visible ASCII characters in one line, as "openssl rand -hex 32" prints`;
  const refuse = (found: string) =>
    failure('TOKEN_FILE_INVALID', { reason: `${file}: found ${found}; allowed: ${allowed}` });
  if (text.length < TOKEN_MIN_CHARACTERS || text.length > TOKEN_MAX_CHARACTERS) {
    throw refuse(`a token of ${text.length} characters`);
  }
  if (!TOKEN.test(text)) throw refuse('a token with white space or other than ASCII characters');
  return new Token(text);
}

function readText(file: string, ownGroups: readonly number[]): string {
  try {
    return readPrivateFile(file, TOKEN_MAX_CHARACTERS + LINE_BREAK, ownGroups);
  } catch (error) {
    if (error instanceof PrivateFileError) throw failure('TOKEN_FILE_INVALID', { reason: error.message }, error);
    throw error;
  }
}
