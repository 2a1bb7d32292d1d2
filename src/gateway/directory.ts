/**
 * The tables in Redis that operators and the control API read and change: backends, single sessions, revocations, facts. Changes
 * go through the function library, which is installed where Redis has none, or an older one. May be imported by src/gateway only.
 */
import { isUtf8 } from 'node:buffer';
import { Cluster, type Redis } from 'ioredis';
import { cookieHash } from '../auth/cookie.ts';
import { SyncError, withoutCommand } from '../sync/errors.ts';
import { type BackendPatch, Functions, type InstallResult } from '../sync/redis/functions.ts';
import { hashSlot } from '../sync/redis/hash-slot.ts';
import type { RedisConfig } from '../sync/redis/redis-options.ts';
import { KEY_SCRIPT } from '../sync/redis/scripts.ts';
import { systemRuntime } from '../sync/runtime.ts';
import { backendIn, readArguments } from '../sync/snapshot/session-forms.ts';
import { parseBackends } from '../sync/tables/backends.ts';
import { endpointText } from './addresses.ts';
import type { Config } from './config.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';
import type { BackendList, BackendRecord, Directory, FactRecord, RedisSession, RemoveOptions } from './ports.ts';
import { shownRedis } from './redis-access.ts';
import { installEverywhere, RedisClient } from './redis-client.ts';
import { Settle, type SettleOptions, type SettleResult } from './settle.ts';
import { storedSessions } from './stored-sessions.ts';

/** The field that the function library writes. */
const LIBRARY_FIELD = 'backend';

/** Of a change that met a replica. */
const TRIES_MAX = 2;
/** Of reading a fact that is set all the time. */
const FACT_TRIES_MAX = 10;
/** Of a move of a session that others move at the same time. */
const MOVES_MAX = 10;

/** The tables that a call of the library may change beside the feed. */
type TableName = 'backends' | 'denied' | 'facts';

/** As messages call what is in them. */
const TABLES: Readonly<Record<TableName, string>> = { backends: 'backends', denied: 'revocations', facts: 'facts' };

const IN_CLUSTER =
  'in a cluster the gateway changes no session, because a session and the feed are in different hash slots; let the application write it, with plain commands: the gateway sees it by notifications';

type Refused = (reason: string, cause?: unknown) => GatewayError;

export class RedisDirectory implements Directory {
  readonly #config: Config;
  readonly #client: RedisClient;
  /** Connections behind which the function library is as new as it is here. */
  readonly #upToDate = new WeakSet<Redis | Cluster>();

  constructor(config: Config, access: RedisConfig) {
    this.#config = config;
    this.#client = new RedisClient(access);
  }

  /** For what is read and locked beside these tables. @throws GatewayError as all here */
  use<T>(action: (redis: Redis | Cluster) => Promise<T>): Promise<T> {
    return this.#with(action);
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
    const refused: Refused = (reason, cause) => failure('BACKEND_REFUSED', { name, reason }, cause);
    this.#requireTableBesideFeed('backends', refused);
    return this.#with(async (redis) => {
      try {
        const { entry } = await (await this.#functions(redis)).backendPatch(name, fields);
        const { id, address, state, weight, shed } = entry;
        return { name, id, address, state, weight, shed };
      } catch (error) {
        const isMeantAsNew = fields.id !== undefined || fields.address !== undefined;
        if (isRefusal(error) && !isMeantAsNew) await this.#requireBackend(redis, name);
        throw refusal(error, refused);
      }
    });
  }

  removeBackend(name: string, { force = false, withinMs }: RemoveOptions = {}): Promise<void> {
    const refused: Refused = (reason, cause) => failure('BACKEND_REFUSED', { name, reason }, cause);
    this.#requireTableBesideFeed('backends', refused);
    return this.#with(async (redis) => {
      await this.#requireBackend(redis, name);
      if (!force) await this.#requireUnused(redis, name, withinMs ?? Number.POSITIVE_INFINITY);
      try {
        const { done } = await (await this.#functions(redis)).backendRemove(name);
        if (!done) await this.#requireBackend(redis, name);
      } catch (error) {
        throw refusal(error, refused);
      }
    });
  }

  session(sid: string): Promise<RedisSession | null> {
    return this.#with((redis) => this.#readSession(redis, sid));
  }

  async #readSession(redis: Redis | Cluster, sid: string): Promise<RedisSession | null> {
    const { prefix, backend } = this.#config.sessions;
    const key = `${prefix}${sid}`;
    const [ttl, record] = await Promise.all([
      redis.pttl(key),
      redis.callBuffer('EVAL_RO', KEY_SCRIPT.text, 1, key, ...readArguments(backend)),
    ]);
    // -2: no such key; -1: no expiry
    if (ttl === -2) return null;
    const name = backendIn(backend, (record as [Buffer | null, number])[0]);
    return { backend: typeof name === 'string' ? null : name.toString('utf8'), ttlMs: ttl < 0 ? null : ttl };
  }

  setSession(sid: string, backend: string, ttlMs: number): Promise<void> {
    this.#requireWritten(sid);
    return this.#with(async (redis) => {
      try {
        await (await this.#functions(redis)).sessionSet(sid, backend, ttlMs);
      } catch (error) {
        throw refusal(error, sessionRefused);
      }
    });
  }

  moveSession(sid: string, backend: string): Promise<{ from: string }> {
    this.#requireWritten(sid);
    return this.#with(async (redis) => {
      await this.#requireBackend(redis, backend);
      for (let tries = 1; tries <= MOVES_MAX; tries++) {
        const from = (await this.#readSession(redis, sid))?.backend;
        if (from === undefined) throw failure('SESSION_UNKNOWN', {});
        if (from === null) throw sessionRefused('its record names no backend; let the application write it anew');
        if (from === backend) return { from };
        try {
          const { done } = await (await this.#functions(redis)).sessionMove(sid, from, backend);
          if (done) return { from };
        } catch (error) {
          throw refusal(error, sessionRefused);
        }
      }
      throw sessionRefused('it is moved elsewhere all the time; try again');
    });
  }

  removeSession(sid: string): Promise<void> {
    this.#requireHashForm();
    this.#requireSessionBesideFeed(sid);
    return this.#with(async (redis) => {
      try {
        const { existed } = await (await this.#functions(redis)).sessionDelete(sid);
        if (!existed) throw failure('SESSION_UNKNOWN', {});
      } catch (error) {
        throw refusal(error, sessionRefused);
      }
    });
  }

  denySession(sid: string, untilMs: number): Promise<void> {
    this.#requireTableBesideFeed('denied', sessionRefused);
    const hash = Buffer.from(cookieHash(sid)).toString('hex');
    return this.#with(async (redis) => {
      try {
        await (await this.#functions(redis)).sessionDeny(hash, untilMs);
      } catch (error) {
        throw refusal(error, sessionRefused);
      }
    });
  }

  fact(name: string): Promise<FactRecord> {
    return this.#with(async (redis) => {
      const { names } = this.#config.redis;
      const read = (table: string) => redis.callBuffer('HGET', `${names}${table}`, name) as Promise<Buffer | null>;
      for (let tries = 1; ; tries++) {
        // Also in a cluster, where the two may be apart: value and version belong together if it is set between neither two.
        const [before, value, id] = await Promise.all([read('fact-ids'), read('facts'), read('fact-ids')]);
        if (tries < FACT_TRIES_MAX && String(before) !== String(id)) continue;
        if (value === null) throw failure('FACT_UNKNOWN', { name });
        return factRecord(name, value, id === null ? null : id.toString('latin1'));
      }
    });
  }

  setFact(name: string, value: string): Promise<FactRecord> {
    const refused: Refused = (reason, cause) => failure('FACT_REFUSED', { name, reason }, cause);
    this.#requireTableBesideFeed('facts', refused);
    return this.#with(async (redis) => {
      try {
        const { id } = await (await this.#functions(redis)).factSet(name, value);
        return factRecord(name, Buffer.from(value, 'utf8'), id);
      } catch (error) {
        throw refusal(error, refused);
      }
    });
  }

  removeFact(name: string): Promise<void> {
    const refused: Refused = (reason, cause) => failure('FACT_REFUSED', { name, reason }, cause);
    this.#requireTableBesideFeed('facts', refused);
    return this.#with(async (redis) => {
      try {
        const { done } = await (await this.#functions(redis)).factRemove(name);
        if (!done) throw failure('FACT_UNKNOWN', { name });
      } catch (error) {
        throw refusal(error, refused);
      }
    });
  }

  /**
   * Writes where a backend's users are answered to now into their records (settle.ts); while it runs, nothing else may be asked of this object.
   * @throws GatewayError SESSION_REFUSED, BACKEND_UNKNOWN, BACKEND_REFUSED, SETTLE_STOPPED
   */
  async settle(name: string, options: SettleOptions): Promise<SettleResult> {
    this.#requireWritten();
    let settle: Settle | undefined;
    try {
      return await this.#with(async (redis) => {
        if (redis instanceof Cluster) throw sessionRefused(IN_CLUSTER);
        const { names } = this.#config.redis;
        const functions = await this.#functions(redis);
        const parts = { redis, functions, runtime: systemRuntime, sessions: this.#config.sessions, names };
        settle = new Settle(parts, name, options);
        return await settle.run();
      });
    } catch (error) {
      const moved = settle?.moved ?? 0;
      if (!(error instanceof GatewayError) || error.code === 'SETTLE_STOPPED' || moved === 0) throw error;
      throw failure('SETTLE_STOPPED', { moved, reason: error.message }, error);
    }
  }

  installLibrary(): Promise<InstallResult> {
    return this.#with(installEverywhere);
  }

  /** Once a connection, the library is brought up to date: an older one lacks some of the checks. */
  async #functions(redis: Redis | Cluster): Promise<Functions> {
    const { sessions, feed, redis: tables } = this.#config;
    const keys = { sessionPrefix: sessions.prefix, feed: feed.stream, names: tables.names };
    if (!this.#upToDate.has(redis)) {
      await installEverywhere(redis).catch((error: unknown) => {
        // A user who may call functions and not load them needs no more than that they are there.
        if (!(error instanceof SyncError) || !error.message.includes('NOPERM')) throw error;
      });
      this.#upToDate.add(redis);
    }
    return new Functions(redis, keys, () => installEverywhere(redis));
  }

  /** @throws GatewayError BACKEND_UNKNOWN */
  async #requireBackend(redis: Redis | Cluster, name: string): Promise<void> {
    const key = `${this.#config.redis.names}backends`;
    if ((await redis.hexists(key, name)) === 1) return;
    throw failure('BACKEND_UNKNOWN', { name, names: (await redis.hkeys(key)).sort() });
  }

  /** @throws GatewayError BACKEND_IN_USE where a session is stored on it, or that could not be found out in time */
  async #requireUnused(redis: Redis | Cluster, name: string, withinMs: number): Promise<void> {
    const bytes = Buffer.from(name, 'utf8');
    const endMs = systemRuntime.monotonicMs() + withinMs;
    for await (const { sessions } of storedSessions(redis, this.#config.sessions)) {
      if (sessions.some(({ backend }) => backend.equals(bytes))) {
        throw failure('BACKEND_IN_USE', { name, found: 'found sessions that are stored on it' });
      }
      if (systemRuntime.monotonicMs() > endMs) {
        throw failure('BACKEND_IN_USE', { name, found: 'found no time to look at every session in Redis' });
      }
    }
  }

  /** @throws GatewayError SESSION_REFUSED where sessions are not written by this gateway */
  #requireWritten(sid?: string): void {
    const { backend: form } = this.#config.sessions;
    this.#requireHashForm();
    if (form.in === 'hash' && form.field !== LIBRARY_FIELD) {
      throw sessionRefused(
        `sessions are written in hash field ${LIBRARY_FIELD} only, and the configuration's sessions.backend is another one`,
      );
    }
    if (sid !== undefined) this.#requireSessionBesideFeed(sid);
  }

  #requireHashForm(): void {
    const form = this.#config.sessions.backend.in;
    if (form === 'hash') return;
    throw sessionRefused(
      `sessions.backend is in: ${form}, and such sessions belong to their application: the gateway reads them and changes none; let the application do it, or keep assignments beside its sessions, in hash form under a prefix of their own`,
    );
  }

  /** A call of the library changes its table and the feed, which in a cluster must have one owner. */
  #requireTableBesideFeed(table: TableName, refused: Refused): void {
    const { names } = this.#config.redis;
    const { stream } = this.#config.feed;
    if (!this.#client.isCluster || hashSlot(`${names}${table}`) === hashSlot(stream)) return;
    throw refused(
      `in a cluster ${TABLES[table]} can be changed only where redis.names and feed.stream share a hash slot, found ${JSON.stringify(names)} and ${JSON.stringify(stream)}, allowed: names with one hash tag, as "{gateway}:" and "{gateway}:feed", on all gateways`,
    );
  }

  #requireSessionBesideFeed(sid: string): void {
    const { sessions, feed } = this.#config;
    if (!this.#client.isCluster || hashSlot(`${sessions.prefix}${sid}`) === hashSlot(feed.stream)) return;
    throw sessionRefused(IN_CLUSTER);
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
    // A call of the library that was sent and not answered.
    const isOpen = code === 'REDIS_CLOSED' && reasonOf(cause).startsWith('FCALL');
    const reason = `${reasonOf(cause)}${isOpen ? ' (the change may have been made all the same)' : ''}`;
    return failure('REDIS_UNREACHABLE', { url, reason }, cause);
  }
}

function isRefusal(error: unknown): error is SyncError {
  return error instanceof SyncError && error.code === 'FUNCTION_REFUSED';
}

/** What the function library itself refused, in the words of `explain`; anything else as it is. */
function refusal(error: unknown, explain: Refused): unknown {
  return isRefusal(error) ? explain(error.message, error) : error;
}

function sessionRefused(reason: string, cause?: unknown): GatewayError {
  return failure('SESSION_REFUSED', { reason }, cause);
}

function factRecord(name: string, value: Buffer, version: string | null): FactRecord {
  return { name, hex: value.toString('hex'), value: isUtf8(value) ? value.toString('utf8') : null, version };
}
