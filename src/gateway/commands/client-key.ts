/** The key that commands ask gateways with. May be imported by src/gateway/commands only. */
import type { Key } from '../../auth/keyring.ts';
import { failure, reasonOf } from '../errors.ts';

/** @throws GatewayError KEY_FILE_INVALID, KEY_NOT_IN_FILE */
export async function readClientKey(file: string, id: number | undefined): Promise<Key> {
  const { AuthError, readKey } = await import('../../client/index.ts');
  try {
    return await readKey(file, id);
  } catch (error) {
    if (error instanceof AuthError) throw failure('KEY_FILE_INVALID', { reason: error.message }, error);
    if (error instanceof RangeError) throw failure('KEY_NOT_IN_FILE', { reason: reasonOf(error) }, error);
    throw error;
  }
}
