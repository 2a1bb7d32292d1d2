/**
 * Keys as the gateway and the client hold them (docs/protocol.md, "Names"): the secret can be used, never
 * read. May be imported by every floor above.
 */
import { Limit } from '../abi.ts';
import { equalBytes, requireBytes, requireInteger } from './bytes.ts';
import { AuthError } from './errors.ts';
import { blake2sKeyState, hmacPadStates, type PadStates } from './pad-states.ts';
import { createPrf, guardKey, type Prf, SECRET_SIZE, SUITES, type Suite } from './suites.ts';

export const KEY_ID_MAX = 0xffff_ffff;
/** One less than a secret has hexadecimal digits: a secret in the place of the name is refused. */
export const KEY_NAME_MAX = 63;
/** What a key's name looks like. */
export const KEY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** Bytes in a fingerprint. */
export const FINGERPRINT_SIZE = 16;
const FINGERPRINT_LABEL = 'session-gateway fingerprint v1';

export interface KeyFields {
  /** 1 to 4294967295 */
  readonly id: number;
  /** 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit. */
  readonly name: string;
  readonly suite: Suite;
  /** Whether replies are encrypted. */
  readonly encrypt: boolean;
  /** Unix ms from which the key is valid, itself included; null = always. */
  readonly notBeforeMs: number | null;
  /** Unix ms until which the key is valid, itself included; null = for ever. */
  readonly notAfterMs: number | null;
}

export class Key implements KeyFields {
  readonly id: number;
  readonly name: string;
  readonly suite: Suite;
  readonly encrypt: boolean;
  readonly notBeforeMs: number | null;
  readonly notAfterMs: number | null;
  readonly #secret: Uint8Array;
  readonly #guardKey: Uint8Array;
  readonly #prf: Prf;
  #wiped = false;

  /**
   * @param secret 32 bytes; the key keeps a copy of its own
   * @throws TypeError or RangeError for a field of the wrong type or value; the message never has the secret
   */
  constructor(fields: KeyFields, secret: Uint8Array) {
    requireInteger('id', fields.id, 1, KEY_ID_MAX);
    if (typeof fields.name !== 'string') throw new TypeError('name: allowed: a string');
    if (fields.name.length > KEY_NAME_MAX || !KEY_NAME.test(fields.name)) {
      throw new RangeError(
        `name: found ${fields.name.length} characters, allowed: 1 to ${KEY_NAME_MAX} that match ${KEY_NAME}`,
      );
    }
    if (!SUITES.includes(fields.suite)) throw new RangeError(`suite: allowed: ${SUITES.join(', ')}`);
    if (typeof fields.encrypt !== 'boolean') throw new TypeError('encrypt: allowed: true or false');
    const { notBeforeMs, notAfterMs } = fields;
    if (notBeforeMs !== null) requireInteger('notBeforeMs', notBeforeMs, 0, Number.MAX_SAFE_INTEGER);
    if (notAfterMs !== null) requireInteger('notAfterMs', notAfterMs, 0, Number.MAX_SAFE_INTEGER);
    if (notBeforeMs !== null && notAfterMs !== null && notBeforeMs > notAfterMs) {
      throw new RangeError(`notBeforeMs: found ${notBeforeMs}, allowed: at most notAfterMs, which is ${notAfterMs}`);
    }
    requireBytes('secret', secret, SECRET_SIZE);
    this.id = fields.id;
    this.name = fields.name;
    this.suite = fields.suite;
    this.encrypt = fields.encrypt;
    this.notBeforeMs = notBeforeMs;
    this.notAfterMs = notAfterMs;
    this.#secret = Uint8Array.from(secret);
    this.#guardKey = guardKey(this.suite, secret);
    this.#prf = createPrf(this.suite, secret);
  }

  /** G, 16 bytes: the key's own array, not to be changed. @throws AuthError KEY_WIPED */
  get guardKey(): Uint8Array {
    this.#requireSecret();
    return this.#guardKey;
  }

  /** F(K, message), 32 bytes. @throws AuthError KEY_WIPED */
  prf(message: Uint8Array): Uint8Array {
    this.#requireSecret();
    return this.#prf.of(message);
  }

  /**
   * What the kernel keeps instead of the secret: the two pad states of hmac-sha256; for blake2s `inner` is the state
   * after the key block, and `outer` is zeros.
   * @throws AuthError KEY_WIPED
   */
  padStates(): PadStates {
    this.#requireSecret();
    if (this.suite === 'hmac-sha256') return hmacPadStates(this.#secret);
    return { inner: blake2sKeyState(this.#secret), outer: new Array<number>(8).fill(0) };
  }

  /**
   * 16 bytes that stand for secret, suite and encryption setting together and don't reveal the secret:
   * F(K, label ‖ suite ‖ 0 ‖ encrypt)[0..16].
   * @throws AuthError KEY_WIPED
   */
  fingerprint(): Uint8Array {
    const message = `${FINGERPRINT_LABEL} ${this.suite}\0${this.encrypt ? 1 : 0}`;
    return this.prf(new TextEncoder().encode(message)).slice(0, FINGERPRINT_SIZE);
  }

  /** Whether the key may be used at this moment, Unix ms. */
  validAt(ms: number): boolean {
    return (this.notBeforeMs === null || ms >= this.notBeforeMs) && (this.notAfterMs === null || ms <= this.notAfterMs);
  }

  /** Zeroes the secret and what was derived from it; whatever needs them throws from now on. May be called again. */
  wipe(): void {
    this.#wiped = true;
    this.#secret.fill(0);
    this.#guardKey.fill(0);
    this.#prf.wipe();
  }

  toJSON(): KeyFields {
    const { id, name, suite, encrypt, notBeforeMs, notAfterMs } = this;
    return { id, name, suite, encrypt, notBeforeMs, notAfterMs };
  }

  toString(): string {
    return `key ${this.id} (${this.name})`;
  }

  /** With `showHidden` and `getters`, util.inspect would call the getter of the guard key. */
  [Symbol.for('nodejs.util.inspect.custom')](): KeyFields {
    return this.toJSON();
  }

  #requireSecret(): void {
    if (this.#wiped) {
      throw new AuthError('KEY_WIPED', `${this} was wiped: it is no longer in force, use the keyring that replaced it`);
    }
  }
}

/** Keys by id, in the order of their ids. A keyring doesn't change, but for `wipe`. */
export class Keyring implements Iterable<Key> {
  readonly #keys = new Map<number, Key>();

  /** @throws AuthError KEYS_TOO_MANY over 256 keys, KEY_DUPLICATE for an id or a name that is there twice */
  constructor(keys: Iterable<Key>) {
    const names = new Map<string, Key>();
    for (const key of keys) {
      const twin = this.#keys.get(key.id) ?? names.get(key.name);
      if (twin !== undefined) {
        throw new AuthError('KEY_DUPLICATE', `${key} and ${twin}: ids and names must be unique`);
      }
      if (this.#keys.size === Limit.KEYS) {
        throw new AuthError('KEYS_TOO_MANY', `found more than ${Limit.KEYS} keys, allowed: at most ${Limit.KEYS}`);
      }
      this.#keys.set(key.id, key);
      names.set(key.name, key);
    }
    const sorted = [...this.#keys.values()].sort((a, b) => a.id - b.id);
    this.#keys = new Map(sorted.map((key) => [key.id, key]));
  }

  get size(): number {
    return this.#keys.size;
  }

  get(id: number): Key | undefined {
    return this.#keys.get(id);
  }

  [Symbol.iterator](): IterableIterator<Key> {
    return this.#keys.values();
  }

  /** Wipes every key. Another keyring's keys have secrets of their own, even under the same ids. */
  wipe(): void {
    for (const key of this) key.wipe();
  }

  toJSON(): KeyFields[] {
    return [...this].map((key) => key.toJSON());
  }
}

/** One kept key whose name or validity is another in the next keyring. */
export interface KeyChange {
  readonly before: Key;
  readonly after: Key;
  readonly fields: readonly ('name' | 'notBefore' | 'notAfter')[];
}

/** What a reload changes; each list in the order of ids, keys of the next keyring but for `removed`. */
export interface KeyringComparison {
  readonly added: readonly Key[];
  readonly removed: readonly Key[];
  readonly changed: readonly KeyChange[];
  /** In both, and all the same. */
  readonly kept: readonly Key[];
}

/**
 * What changes when `next` takes the place of `current`; neither may have been wiped.
 * @throws AuthError KEY_ID_REUSED when secret, suite or encryption setting of an id that is in both changed
 */
export function compareKeyrings(current: Keyring, next: Keyring): KeyringComparison {
  const added: Key[] = [];
  const changed: KeyChange[] = [];
  const kept: Key[] = [];
  const reused: string[] = [];
  for (const after of next) {
    const before = current.get(after.id);
    if (before === undefined) {
      added.push(after);
    } else if (!equalBytes(before.fingerprint(), 0, after.fingerprint(), 0, FINGERPRINT_SIZE)) {
      reused.push(`${after}: ${whatIsReused(before, after)}`);
    } else {
      const fields: KeyChange['fields'][number][] = [];
      if (before.name !== after.name) fields.push('name');
      if (before.notBeforeMs !== after.notBeforeMs) fields.push('notBefore');
      if (before.notAfterMs !== after.notAfterMs) fields.push('notAfter');
      if (fields.length > 0) changed.push({ before, after, fields });
      else kept.push(after);
    }
  }
  if (reused.length > 0) {
    const advice =
      'An id is never used again for another secret, suite or encryption setting: give the new key a new id.';
    throw new AuthError('KEY_ID_REUSED', `${reused.join('\n')}\n${advice}`);
  }
  return { added, removed: [...current].filter((key) => next.get(key.id) === undefined), changed, kept };
}

function whatIsReused(before: Key, after: Key): string {
  const what: string[] = [];
  if (before.suite !== after.suite) what.push(`suite is ${after.suite}, was ${before.suite}`);
  if (before.encrypt !== after.encrypt) what.push(`encrypt is ${after.encrypt}, was ${before.encrypt}`);
  return what.length > 0 ? what.join(', ') : 'the secret is another one';
}
