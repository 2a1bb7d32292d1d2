/**
 * How to reach Redis: the configuration with the password read from its file. May be imported by src/gateway only.
 */
import { readFileSync } from 'node:fs';
import type { RedisConfig } from '../sync/redis-options.ts';
import type { Config } from './config.ts';
import { failure, reasonOf } from './errors.ts';

const PASSWORD_MAX_BYTES = 4096;

/** @throws GatewayError CONFIG_UNREADABLE */
export function redisAccess({ redis: { url, username, passwordFile } }: Config): RedisConfig {
  return { url, username, password: passwordFile === null ? null : readPassword(passwordFile) };
}

/** The file's text without a line break at its end. */
function readPassword(file: string): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
    const password = text.replace(/\r?\n$/, '');
    if (password === '') throw new RangeError('it is empty');
    if (text.length > PASSWORD_MAX_BYTES) throw new RangeError(`it has more than ${PASSWORD_MAX_BYTES} bytes`);
    return password;
  } catch (error) {
    throw failure('CONFIG_UNREADABLE', { file, reason: reasonOf(error) }, error);
  }
}
