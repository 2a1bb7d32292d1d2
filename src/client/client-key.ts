/**
 * The key that a client asks with: from its parts, or from a key file. The file's parser is loaded only when it is
 * asked for, so that a client without it stays light. May be imported by src/client.
 */
import { Key } from '../auth/keyring.ts';
import { SECRET_SIZE, type Suite } from '../auth/suites.ts';

export interface KeyParts {
  /** 1 to 4294967295 */
  readonly id: number;
  /** 64 hexadecimal digits, or 32 bytes. */
  readonly secret: string | Uint8Array;
  /** Default hmac-sha256. */
  readonly suite?: Suite | undefined;
  /** Whether replies are encrypted; as the gateways have it. Default false. */
  readonly encrypt?: boolean | undefined;
}

const SECRET_DIGITS = new RegExp(`^[0-9A-Fa-f]{${SECRET_SIZE * 2}}$`);

/**
 * A key from its parts.
 * @throws TypeError or RangeError for a part of the wrong type or value; the message never has the secret
 */
export function keyFromParts(parts: KeyParts): Key {
  const { id, suite = 'hmac-sha256', encrypt = false } = parts;
  const secret = secretBytes(parts.secret);
  const key = new Key({ id, name: `key-${id}`, suite, encrypt, notBeforeMs: null, notAfterMs: null }, secret);
  if (secret !== parts.secret) secret.fill(0);
  return key;
}

function secretBytes(secret: string | Uint8Array): Uint8Array {
  if (typeof secret !== 'string') return secret;
  if (!SECRET_DIGITS.test(secret)) {
    throw new RangeError(
      `secret: found ${secret.length} characters that are not ${SECRET_SIZE * 2} hexadecimal digits, allowed: ${SECRET_SIZE * 2} hexadecimal digits`,
    );
  }
  return Uint8Array.from(Buffer.from(secret, 'hex'));
}

/**
 * One key of a key file, the same file that gateways read (docs/configuration.md, "Keys").
 * @param path refused where others than this process's user and groups can read it
 * @param id of the key; may be left out where the file has only one
 * @throws KeyFileError where the file can't be read or is not as it must be
 * @throws RangeError where the file has no key of this id, or several and no id is given
 */
export async function readKey(path: string, id?: number): Promise<Key> {
  const { readKeyFile } = await import('../auth/key-file-access.ts');
  const keyring = readKeyFile(path);
  const ids = [...keyring].map((key) => key.id);
  const chosen = id ?? (ids.length === 1 ? ids[0] : undefined);
  const key = chosen === undefined ? undefined : keyring.get(chosen);
  for (const other of keyring) if (other !== key) other.wipe();
  if (key === undefined) {
    throw new RangeError(`id: found ${id ?? 'none'}, allowed: one of those in ${path}: ${ids.join(', ')}`);
  }
  return key;
}
