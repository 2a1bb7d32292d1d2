/**
 * A new key as an entry for the key file (docs/configuration.md, "Keys"). May be imported by every floor above.
 */
import { bytesToHex } from '@noble/hashes/utils.js';
import { Key, type KeyFields } from './keyring.ts';

/**
 * An entry for the list `keys` of a key file, four lines indented by two spaces. It holds the secret.
 * @param secret 32 random bytes
 * @throws TypeError or RangeError for a field of the wrong type or value
 */
export function newKeyEntry(fields: Pick<KeyFields, 'id' | 'name' | 'suite'>, secret: Uint8Array): string {
  const { id, name, suite } = fields;
  // Checks the fields: what is written must be taken again.
  new Key({ id, name, suite, encrypt: false, notBeforeMs: null, notAfterMs: null }, secret).wipe();
  return [
    `  - id: ${id}`,
    `    name: "${name}"`,
    `    suite: ${suite}`,
    `    secret: "${bytesToHex(secret)}"`,
    '',
  ].join('\n');
}
