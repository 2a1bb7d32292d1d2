/**
 * The keys in force: read from the key file, compared with what was in force and with what each id ever stood for, and
 * put into the kernel, as a whole or not at all. May be imported by src/gateway only.
 */
import { equalBytes } from '../auth/bytes.ts';
import { AuthError } from '../auth/errors.ts';
import { readKeyFile } from '../auth/key-file-access.ts';
import { compareKeyrings, FINGERPRINT_SIZE, type Key, Keyring } from '../auth/keyring.ts';
import { failure, systemCode } from './errors.ts';
import { applyKeys } from './kernel-keys.ts';
import type { KeyInfo, KeyName, KeyReload, KeyTable } from './ports.ts';

/**
 * Reads and checks the key file, as far as that can be done without the kernel.
 * @param read throws AuthError
 * @throws GatewayError KEY_FILE_INVALID
 */
export function readKeys(file: string, read: (file: string) => Keyring = readKeyFile): Keyring {
  try {
    return read(file);
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    const remedy = systemCode(error.cause) === 'ENOENT' ? `; make one: (umask 077; gateway keys new > ${file})` : '';
    throw failure('KEY_FILE_INVALID', { reason: `${error.message}${remedy}` }, error);
  }
}

export class Keys {
  readonly #table: KeyTable;
  #inForce = new Keyring([]);

  constructor(table: KeyTable) {
    this.#table = table;
  }

  get inForce(): Keyring {
    return this.#inForce;
  }

  /**
   * Changes nothing.
   * @throws GatewayError KEY_ID_REUSED where `apply` would
   */
  check(next: Keyring): void {
    this.#requireSameIds(next);
  }

  /**
   * Puts these keys in force: new ids start to work, ids that are gone stop, all others are not touched. The first time, ids
   * that an earlier daemon left in the kernel count as gone too. Secrets that are no longer in force are wiped.
   * @param next whose keys are this object's from now on, and wiped where they are refused
   * @throws GatewayError KEY_ID_REUSED or KEYS_NOT_APPLIED; the keys in force are those that were
   */
  apply(next: Keyring): KeyReload {
    try {
      this.#requireSameIds(next);
      const change = compared(this.#inForce, next);
      applyKeys(this.#table, next);
      const before = this.#inForce;
      this.#inForce = next;
      before.wipe();
      return change;
    } catch (error) {
      next.wipe();
      throw error;
    }
  }

  list(nowMs: number): Omit<KeyInfo, 'uses'>[] {
    return [...this.#inForce].map((key) => ({ ...key.toJSON(), valid: key.validAt(nowMs) }));
  }

  /** An id never stands for another secret, suite or encryption setting than before, in whatever daemon that was. */
  #requireSameIds(next: Keyring): void {
    const reused = [...next].filter((key) => {
      const once = this.#table.keyFingerprint(key.id);
      return once !== undefined && !equalBytes(once, 0, key.fingerprint(), 0, FINGERPRINT_SIZE);
    });
    if (reused.length > 0) throw failure('KEY_ID_REUSED', { keys: reused.map(String) });
  }
}

function compared(current: Keyring, next: Keyring): KeyReload {
  const { added, removed, changed, kept } = compareKeyrings(current, next);
  return {
    added: added.map(nameOf),
    removed: removed.map(nameOf),
    changed: changed.map(({ after, fields }) => ({ ...nameOf(after), fields })),
    kept: kept.length,
  };
}

function nameOf({ id, name }: Key): KeyName {
  return { id, name };
}
