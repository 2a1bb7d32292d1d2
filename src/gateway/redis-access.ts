/**
 * How to reach Redis: the configuration with passwords and certificates read from their files, and how it is shown.
 * May be imported by src/gateway only.
 */
import { nodeId, type RedisConfig } from '../sync/redis/redis-options.ts';
import { type Config, shownUrl } from './config.ts';
import { failure } from './errors.ts';
import { tlsSource } from './redis-tls.ts';
import { readTextFile } from './text-file.ts';

const PASSWORD_MAX_BYTES = 4096;

/**
 * @param onTlsFault told why renewed certificates can't be used; the earlier ones stay
 * @throws GatewayError CONFIG_UNREADABLE, REDIS_TLS_INVALID
 */
export function redisAccess(
  { redis: { url, sentinel, cluster, username, passwordFile, tls } }: Config,
  onTlsFault: (reason: string) => void = () => undefined,
): RedisConfig {
  const login = {
    username,
    password: passwordOf(passwordFile),
    tls: tls === null ? null : tlsSource(tls, onTlsFault),
  };
  if (cluster !== null) return { ...login, cluster };
  if (sentinel === null) return { ...login, url };
  const { name, nodes } = sentinel;
  return {
    ...login,
    sentinel: { name, nodes, username: sentinel.username, password: passwordOf(sentinel.passwordFile) },
  };
}

/** Where Redis is, for people; without passwords. */
export function shownRedis({ url, sentinel, cluster }: Config['redis']): string {
  if (cluster !== null) return `cluster of ${cluster.nodes.map(nodeId).join(', ')}`;
  if (sentinel !== null) return `master ${sentinel.name} of sentinels ${sentinel.nodes.map(nodeId).join(', ')}`;
  return shownUrl(url);
}

function passwordOf(file: string | null): string | null {
  return file === null ? null : readPassword(file);
}

/** The file's text without a line break at its end. */
function readPassword(file: string): string {
  const password = readTextFile(file, PASSWORD_MAX_BYTES).replace(/\r?\n$/, '');
  if (password === '') throw failure('CONFIG_UNREADABLE', { file, reason: 'it is empty' });
  return password;
}
