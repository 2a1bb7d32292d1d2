/**
 * The application's own Redis client, node-redis or ioredis, as what the function library is called through. May be
 * imported by src/express.
 */
import type { Caller } from '../sync/redis/functions.ts';

/** A client of the package `redis`, single or sentinel, or of `ioredis`. */
export type RedisClient =
  // biome-ignore lint/suspicious/noExplicitAny: each package has types of its own for arguments and replies
  { sendCommand(args: any[]): Promise<any> } | { call(command: string, ...args: any[]): Promise<any> };

/**
 * @throws TypeError where it is neither
 */
export function callerOf(redis: RedisClient): Caller {
  // ioredis has a sendCommand, too, of another kind.
  if (hasMethod(redis, 'call')) return redis as unknown as Caller;
  if (!hasMethod(redis, 'sendCommand')) {
    throw new TypeError(
      'redis: found something without call() and sendCommand(), allowed: a client of redis or ioredis',
    );
  }
  const client = redis as Extract<RedisClient, { sendCommand: unknown }>;
  const call = async (command: string, ...args: (string | Buffer | number)[]): Promise<unknown> => {
    const words = args.map((arg) => (typeof arg === 'number' ? String(arg) : arg));
    try {
      return await client.sendCommand([command, ...words]);
    } catch (error) {
      throw asReplyError(error);
    }
  };
  return { call } as unknown as Caller;
}

function hasMethod(value: unknown, name: string): boolean {
  return typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[name] === 'function';
}

/** node-redis tells errors that Redis answers with only by their classes; ioredis, and so the library, by this name. */
function asReplyError(error: unknown): unknown {
  const isReply = error instanceof Error && /^(SimpleError|BlobError|ErrorReply)$/.test(error.constructor.name);
  if (isReply) error.name = 'ReplyError';
  return error;
}
