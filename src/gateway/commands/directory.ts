/**
 * What commands do in Redis by themselves, without a daemon. May be imported by src/gateway/commands only.
 */
import type { Config } from '../config.ts';
import type { RedisDirectory } from '../directory.ts';

/** @param configFile as given with `-c` */
export async function withDirectory<T>(
  configFile: string | undefined,
  action: (directory: RedisDirectory, config: Config) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../config.ts');
  const { redisAccess } = await import('../redis-access.ts');
  const { RedisDirectory } = await import('../directory.ts');
  const config = loadConfig(configFile);
  const directory = new RedisDirectory(config, redisAccess(config));
  try {
    return await action(directory, config);
  } finally {
    await directory.close();
  }
}
