/**
 * A new key for the key file (`gateway keys new`). May be imported by src/gateway only.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { AuthError } from '../auth/errors.ts';
import { readKeyFile } from '../auth/key-file-access.ts';
import { KEY_ID_MAX } from '../auth/keyring.ts';
import { newKeyEntry } from '../auth/new-key.ts';
import { SECRET_SIZE } from '../auth/suites.ts';
import { loadConfig } from './config.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';

export interface NewKey {
  readonly id: number;
  readonly name: string;
  readonly suite: 'hmac-sha256';
  /** 64 hexadecimal digits. */
  readonly secret: string;
}

/**
 * Makes a key. Its id is the one after the highest in the key file that the configuration names; 1 where there is no
 * configuration or no key file yet.
 * @param configFile as given with `-c`
 * @returns the key, and its entry for a key file: with the head of one where there is none to add it to
 * @throws GatewayError USAGE_INVALID for a name or an id that no key may have, KEY_FILE_INVALID, CONFIG_*
 */
export function createKey(
  wanted: { readonly id?: number | undefined; readonly name?: string | undefined },
  configFile: string | undefined,
): { fields: NewKey; text: string } {
  const highest = wanted.id === undefined ? highestId(configFile) : null;
  const id = wanted.id ?? (highest ?? 0) + 1;
  if (id > KEY_ID_MAX) {
    throw failure('USAGE_INVALID', {
      problem: `found no id above ${KEY_ID_MAX}: name one with --id`,
      help: 'gateway keys new',
    });
  }
  const secret = randomBytes(SECRET_SIZE);
  const fields = { id, name: wanted.name ?? `key-${id}`, suite: 'hmac-sha256' } as const;
  try {
    const entry = newKeyEntry(fields, secret);
    const isFirst = wanted.id === undefined && highest === null;
    return { fields: { ...fields, secret: secret.toString('hex') }, text: isFirst ? `keys:\n${entry}` : entry };
  } catch (error) {
    throw failure('USAGE_INVALID', { problem: reasonOf(error), help: 'gateway keys new' }, error);
  }
}

/** Null where there is no key file, or an empty one, as `gateway keys new > keys.yaml` has made it before this runs. */
function highestId(configFile: string | undefined): number | null {
  const file = keyFileOf(configFile);
  if (file === undefined || statSync(file, { throwIfNoEntry: false }) === undefined) return null;
  if (readFileSync(file).length === 0) return null;
  try {
    const keyring = readKeyFile(file);
    const ids = [...keyring].map((key) => key.id);
    keyring.wipe();
    return Math.max(...ids);
  } catch (error) {
    if (error instanceof AuthError) throw failure('KEY_FILE_INVALID', { reason: error.message }, error);
    throw error;
  }
}

function keyFileOf(configFile: string | undefined): string | undefined {
  try {
    return loadConfig(configFile).keys;
  } catch (error) {
    if (configFile === undefined && error instanceof GatewayError && error.code === 'CONFIG_NOT_FOUND')
      return undefined;
    throw error;
  }
}
