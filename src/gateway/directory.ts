/**
 * The tables in Redis that operators and the control API read and change: backends and single sessions. Changes go
 * through the function library, which is installed when Redis doesn't have it. May be imported by src/gateway only.
 */
import type { Cluster, Redis } from 'ioredis';
import { parseBackends } from '../sync/backends.ts';
import { SyncError, withoutCommand } from '../sync/errors.ts';
import { type BackendPatch, Functions, type InstallResult } from '../sync/functions.ts';
import { hashSlot } from '../sync/hash-slot.ts';
import type { RedisConfig } from '../sync/redis-options.ts';
import { KEY_SCRIPT } from '../sync/scripts.ts';
import { backendIn, readArguments } from '../sync/session-forms.ts';
import { endpointText } from './addresses.ts';
import type { Config } from './config.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';
import type { BackendList, BackendRecord, Directory, RedisSession } from './ports.ts';
import { shownRedis } from './redis-access.ts';
import { installEverywhere, RedisClient } from './redis-client.ts';

/** The field that the function library writes. */
const LIBRARY_FIELD = 'backend';

/** Of a change that met a replica. */
const TRIES_MAX = 2;

export class RedisDirectory implements Directory {
  readonly #config: Config;
  readonly #client: RedisClient;

  constructor(config: Config, access: RedisConfig) {
    this.#config = config;
    this.#client = new RedisClient(access);
  }

  close(): Promise<void> {
    return this.#client.close();
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
    this.#requireTableBesideFeed(name);
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
    this.#requireTableBesideFeed(name);
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
      const [ttl, record] = await Promise.all([
        redis.pttl(key),
        redis.callBuffer('EVAL_RO', KEY_SCRIPT.text, 1, key, ...readArguments(backend)),
      ]);
      // -2: no such key; -1: no expiry
      if (ttl === -2) return null;
      const name = backendIn(backend, (record as [Buffer | null, number])[0]);
      return { backend: typeof name === 'string' ? null : name.toString('utf8'), ttlMs: ttl < 0 ? null : ttl };
    });
  }

  setSession(sid: string, backend: string, ttlMs: number): Promise<void> {
    const { backend: form } = this.#config.sessions;
    this.#requireHashForm();
    if (form.in === 'hash' && form.field !== LIBRARY_FIELD) {
      const reason = `sessions are written in hash field ${LIBRARY_FIELD} only, and the configuration's sessions.backend is another one`;
      throw failure('SESSION_REFUSED', { reason });
    }
    this.#requireSessionBesideFeed(sid);
    return this.#with(async (redis) => {
      try {
        await this.#functions(redis).sessionSet(sid, backend, ttlMs);
      } catch (error) {
        throw refusal(error, (reason) => failure('SESSION_REFUSED', { reason }, error));
      }
    });
  }

  removeSession(sid: string): Promise<void> {
    this.#requireHashForm();
    this.#requireSessionBesideFeed(sid);
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
    return this.#with(installEverywhere);
  }

  #functions(redis: Redis | Cluster): Functions {
    const { sessions, feed, redis: tables } = this.#config;
    const keys = { sessionPrefix: sessions.prefix, feed: feed.stream, names: tables.names };
    return new Functions(redis, keys, () => installEverywhere(redis));
  }

  #requireHashForm(): void {
    const form = this.#config.sessions.backend.in;
    if (form === 'hash') return;
    const reason = `sessions.backend is in: ${form}, and such sessions belong to their application: the gateway reads them and changes none; let the application do it, or keep assignments beside its sessions, in hash form under a prefix of their own`;
    throw failure('SESSION_REFUSED', { reason });
  }

  /** A call of the library changes its table and the feed, which in a cluster must have one owner. */
  #requireTableBesideFeed(name: string): void {
    const { names } = this.#config.redis;
    const { stream } = this.#config.feed;
    if (!this.#client.isCluster || hashSlot(`${names}backends`) === hashSlot(stream)) return;
    const reason = `in a cluster backends can be changed only where redis.names and feed.stream share a hash slot, found ${JSON.stringify(names)} and ${JSON.stringify(stream)}, allowed: names with one hash tag, as "{gateway}:" and "{gateway}:feed", on all gateways`;
    throw failure('BACKEND_REFUSED', { name, reason });
  }

  #requireSessionBesideFeed(sid: string): void {
    const { sessions, feed } = this.#config;
    if (!this.#client.isCluster || hashSlot(`${sessions.prefix}${sid}`) === hashSlot(feed.stream)) return;
    const reason =
      'in a cluster the gateway changes no session, because a session and the feed are in different hash slots; let the application write it, with plain commands: the gateway sees it by notifications';
    throw failure('SESSION_REFUSED', { reason });
  }

  /** @throws GatewayError REDIS_UNREACHABLE, REDIS_REFUSED, and what `action` throws */
  async #with<T>(action: (redis: Redis | Cluster) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await action(await this.#client.connected());
      } catch (error) {
        const explained = this.#explained(error);
        // What a master refused because it has become a replica wasn't done: the new one may do it.
        const demoted = explained.code === 'REDIS_REFUSED' && explained.message.includes('READONLY');
        // Of a connection that doesn't answer nothing is to be expected either.
        if (demoted || explained.code === 'REDIS_UNREACHABLE') this.#client.drop();
        if (!demoted || tries === TRIES_MAX) throw explained;
      }
    }
  }

  #explained(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error;
    const url = shownRedis(this.#config.redis);
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
