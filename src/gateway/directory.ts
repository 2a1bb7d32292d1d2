/**
 * The tables in Redis that operators and the control API read and change: backends and single sessions. Changes go
 * through the function library, which is installed when Redis doesn't have it. May be imported by src/gateway only.
 */
import { Redis } from 'ioredis';
import { parseBackends } from '../sync/backends.ts';
import { SyncError, withoutCommand } from '../sync/errors.ts';
import { type BackendPatch, Functions, type InstallResult, installLibrary } from '../sync/functions.ts';
import { CONNECT_TIMEOUT_MS, type RedisConfig, redisOptions } from '../sync/redis-options.ts';
import { endpointText } from './addresses.ts';
import { type Config, shownUrl } from './config.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';
import type { BackendList, BackendRecord, Directory, RedisSession } from './ports.ts';

/** The field that the function library writes. */
const LIBRARY_FIELD = 'backend';

export class RedisDirectory implements Directory {
  readonly #config: Config;
  readonly #access: RedisConfig;
  /** Opened when it is first needed, and again after it was cut. */
  #redis: Redis | undefined;
  #opening: Promise<Redis> | undefined;

  constructor(config: Config, access: RedisConfig) {
    this.#config = config;
    this.#access = access;
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    this.#drop();
  }

  backends(): Promise<BackendList> {
    const { names } = this.#config.redis;
    return this.#with(async (redis) => {
      const read = (name: string) => redis.callBuffer('HGETALL', `${names}${name}`) as Promise<Buffer[]>;
      const [table, ids] = await Promise.all([read('backends'), read('backend-ids')]);
      const { backends, faults } = parseBackends(table, ids, new Map());
      return {
        backends: backends.map(({ name, id, address, port, state, weight, shed }) => {
          return { name, id, address: endpointText(address, port), state, weight, shed };
        }),
        faults: faults.map(({ name, message }) => ({ name, message })),
      };
    });
  }

  patchBackend(name: string, fields: BackendPatch): Promise<BackendRecord> {
    return this.#with(async (redis) => {
      try {
        const { entry } = await this.#functions(redis).backendPatch(name, fields);
        const { id, address, state, weight, shed } = entry;
        return { name, id, address, state, weight, shed };
      } catch (error) {
        throw refusal(error, (reason) => failure('BACKEND_REFUSED', { name, reason }, error));
      }
    });
  }

  removeBackend(name: string): Promise<void> {
    return this.#with(async (redis) => {
      try {
        const { done } = await this.#functions(redis).backendRemove(name);
        if (!done) throw failure('BACKEND_UNKNOWN', { name });
      } catch (error) {
        throw refusal(error, (reason) => failure('BACKEND_REFUSED', { name, reason }, error));
      }
    });
  }

  session(sid: string): Promise<RedisSession | null> {
    const { prefix, backend } = this.#config.sessions;
    const key = `${prefix}${sid}`;
    return this.#with(async (redis) => {
      const field = backend.in === 'hash' ? backend.field : LIBRARY_FIELD;
      const replies = (await redis.multi().pttl(key).type(key).hget(key, field).exec()) ?? [];
      const [ttl, type, name] = replies.map(([error, reply]) => (error === null ? reply : null));
      // -2: no such key; -1: no expiry
      if (ttl === -2 || typeof ttl !== 'number') return null;
      const isRecord = type === 'hash' && typeof name === 'string';
      return { backend: isRecord ? name : null, ttlMs: ttl < 0 ? null : ttl };
    });
  }

  setSession(sid: string, backend: string, ttlMs: number): Promise<void> {
    const { backend: form } = this.#config.sessions;
    if (form.in !== 'hash' || form.field !== LIBRARY_FIELD) {
      const reason = `sessions are written in hash field ${LIBRARY_FIELD} only, and the configuration's sessions.backend is another one`;
      throw failure('SESSION_REFUSED', { reason });
    }
    return this.#with(async (redis) => {
      try {
        await this.#functions(redis).sessionSet(sid, backend, ttlMs);
      } catch (error) {
        throw refusal(error, (reason) => failure('SESSION_REFUSED', { reason }, error));
      }
    });
  }

  removeSession(sid: string): Promise<void> {
    return this.#with(async (redis) => {
      try {
        const { existed } = await this.#functions(redis).sessionDelete(sid);
        if (!existed) throw failure('SESSION_UNKNOWN', {});
      } catch (error) {
        throw refusal(error, (reason) => failure('SESSION_REFUSED', { reason }, error));
      }
    });
  }

  installLibrary(): Promise<InstallResult> {
    return this.#with(installLibrary);
  }

  #functions(redis: Redis): Functions {
    const { sessions, feed, redis: tables } = this.#config;
    return new Functions(redis, { sessionPrefix: sessions.prefix, feed: feed.stream, names: tables.names });
  }

  /** @throws GatewayError REDIS_UNREACHABLE, REDIS_REFUSED, and what `action` throws */
  async #with<T>(action: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await action(await this.#connected());
    } catch (error) {
      const explained = this.#explained(error);
      // Of a connection that doesn't answer nothing is to be expected.
      if (explained.code === 'REDIS_UNREACHABLE') this.#drop();
      throw explained;
    }
  }

  #drop(): void {
    this.#redis?.disconnect();
    this.#redis = undefined;
  }

  #connected(): Promise<Redis> {
    if (this.#redis?.status === 'ready') return Promise.resolve(this.#redis);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<Redis> {
    const options = redisOptions(this.#access, 'session-gateway-directory');
    const redis = new Redis({ ...options, commandTimeout: CONNECT_TIMEOUT_MS });
    let reason: Error | undefined;
    redis.on('error', (error: Error) => {
      reason ??= error;
    });
    try {
      await redis.connect();
      // A refused password and a database that doesn't exist come as events only.
      if (reason !== undefined) throw reason;
      this.#redis = redis;
      return redis;
    } catch (error) {
      redis.disconnect();
      const cause = withoutCommand(reason ?? error);
      throw new SyncError('REDIS_CONNECT', reasonOf(cause), { cause });
    }
  }

  #explained(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error;
    const url = shownUrl(this.#access.url);
    const cause = withoutCommand(error);
    const code = cause instanceof SyncError ? cause.code : undefined;
    const isReply = cause instanceof Error && cause.name === 'ReplyError';
    if (isReply || code === 'REDIS_REFUSED' || code === 'REDIS_REPLY' || code === 'REDIS_TOO_OLD') {
      return failure('REDIS_REFUSED', { url, reason: reasonOf(cause) }, cause);
    }
    return failure('REDIS_UNREACHABLE', { url, reason: reasonOf(cause) }, cause);
  }
}

/** What the function library itself refused, in the words of `explain`; anything else as it is. */
function refusal(error: unknown, explain: (reason: string) => GatewayError): unknown {
  return error instanceof SyncError && error.code === 'FUNCTION_REFUSED' ? explain(error.message) : error;
}
