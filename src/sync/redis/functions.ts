/**
 * The Redis function library `session_gateway` (library.lua; docs/redis.md, "Function library"): its installation, and
 * a typed call for each function. May be imported by every floor above.
 */
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { errorMessage, SyncError, withoutCommand } from '../errors.ts';
import type { BackendState } from '../table.ts';

export const LIBRARY_NAME = 'session_gateway';

const LIBRARY_CODE = readFileSync(new URL('./library.lua', import.meta.url), 'utf8');

/** Raised with every change of library.lua that writers can notice. */
export const LIBRARY_VERSION = versionOf(LIBRARY_CODE) ?? 0;

/** The version that a library's code says it has; null where it says none. */
function versionOf(code: string): number | null {
  const match = /^-- version: (\d{1,9})$/m.exec(code);
  return match === null ? null : Number(match[1]);
}

export type InstallResult =
  /** It wasn't there. */
  | 'installed'
  /** It was there in another form, and older or as old. */
  | 'upgraded'
  /** It is there as it is here. */
  | 'current'
  /** A newer one is there, and stays: other gateways and writers need it, and it does all that this one does. */
  | 'newer';

/** What of a client is needed here; ioredis's client of a cluster has it too. */
export type Caller = Pick<Redis, 'call'>;

/**
 * Loads the library into Redis where it is missing or older.
 * @throws SyncError REDIS_REFUSED where Redis is older than 7.0 or the user may not call FUNCTION; REDIS_CLOSED
 */
export async function installLibrary(redis: Caller): Promise<InstallResult> {
  const listed = await send(redis, 'FUNCTION', 'LIST', 'LIBRARYNAME', LIBRARY_NAME, 'WITHCODE');
  const code = codeOf(listed);
  if (code === LIBRARY_CODE) return 'current';
  if (code !== null && (versionOf(code) ?? 0) > LIBRARY_VERSION) return 'newer';
  await send(redis, 'FUNCTION', 'LOAD', 'REPLACE', LIBRARY_CODE);
  return code === null ? 'installed' : 'upgraded';
}

/**
 * @param listed the reply to FUNCTION LIST LIBRARYNAME session_gateway WITHCODE, bulk strings as text or bytes
 * @returns the version that is installed, 0 where it says none; null where none is
 */
export function installedVersion(listed: unknown): number | null {
  const code = codeOf(listed);
  return code === null ? null : (versionOf(code) ?? 0);
}

/** @param listed one library at most: [[name, value, …]] */
function codeOf(listed: unknown): string | null {
  const library: unknown = Array.isArray(listed) ? listed[0] : undefined;
  if (!Array.isArray(library)) return null;
  const at = library.findIndex((field) => String(field) === 'library_code');
  return at < 0 ? null : String(library[at + 1]);
}

/** What a call did. */
export type Outcome<Done = unknown> =
  /** `id`: of the feed entry, `ms-seq` */
  | ({ readonly done: true; readonly id: string } & Done)
  | {
      readonly done: false;
      /** `gone`: there is no such record; `elsewhere`: the session is on another backend than said */
      readonly why: 'gone' | 'elsewhere';
    };

/** Some of a backend's entry; what is absent stays as it is, or at its default in a new entry. */
export interface BackendPatch {
  /** 1 to 65535; must be given for a new backend, and can't be changed. */
  readonly id?: number;
  /** `10.0.0.11:8080` or `[2001:db8::11]:8080`, no other backend's; must be given for a new backend. */
  readonly address?: string;
  readonly state?: BackendState;
  /** 0 to 65535, default 100; not 0 for all. */
  readonly weight?: number;
  /** Hundredths of a percent, 0 to 10000, default 0. */
  readonly shed?: number;
}

/** Where the records are. */
export interface FunctionKeys {
  readonly sessionPrefix: string;
  readonly feed: string;
  /** Prefix of the tables, as `gateway:` */
  readonly names: string;
}

type Text = string | Buffer;

/**
 * The calls of the library. Each installs it, once, where Redis doesn't know the function.
 *
 * Every call throws SyncError FUNCTION_REFUSED where an argument is refused, saying what was found and what is allowed;
 * REDIS_REFUSED where Redis refuses the call; REDIS_CLOSED where the connection is cut, and then the change may have been made or not.
 *
 * @example
 * const functions = new Functions(redis, { sessionPrefix: 'sess:', feed: 'sessions:feed', names: 'gateway:' });
 * await functions.sessionSet('3b1f…', 'web-1', 3_600_000);
 */
export class Functions {
  readonly #redis: Caller;
  readonly #keys: FunctionKeys;
  readonly #install: () => Promise<unknown>;

  /** @param install loads the library; in a cluster into every master */
  constructor(redis: Caller, keys: FunctionKeys, install: () => Promise<unknown> = () => installLibrary(redis)) {
    this.#redis = redis;
    this.#keys = keys;
    this.#install = install;
  }

  /** @param ttlMs 1 to 3155760000000 (100 years); a session without an end is not made this way */
  async sessionSet(sid: Text, backend: string, ttlMs: number): Promise<{ id: string; expiresMs: number }> {
    const reply = await this.#session('session_set', sid, backend, ttlMs);
    return { id: text(reply, 1), expiresMs: Number(reply[2]) };
  }

  /** A new end; nothing where the session is gone. */
  async sessionTouch(sid: Text, ttlMs: number): Promise<Outcome<{ readonly expiresMs: number }>> {
    const reply = await this.#session('session_touch', sid, ttlMs);
    return outcome(reply, { expiresMs: Number(reply[2]) });
  }

  /** Only if the session is on `from`; its end stays. */
  async sessionMove(sid: Text, from: string, to: string): Promise<Outcome> {
    return outcome(await this.#session('session_move', sid, from, to), {});
  }

  /** The same as the arguments of FCALL, for a transaction. */
  sessionMoveCall(sid: Text, from: string, to: string): (Text | number)[] {
    return ['session_move', 2, this.#sessionKey(sid), this.#keys.feed, sid, from, to];
  }

  /** The feed gets an entry in any case, so that gateways that still hold the session drop it. */
  async sessionDelete(sid: Text): Promise<{ id: string; existed: boolean }> {
    const reply = await this.#session('session_del', sid);
    return { id: text(reply, 1), existed: reply[0] === 1 };
  }

  /** @returns also the entry as it is now */
  async backendPatch(name: string, patch: BackendPatch): Promise<{ id: string; entry: Required<BackendPatch> }> {
    const reply = await this.#named('backend_patch', 'backends', name, JSON.stringify(patch));
    return { id: text(reply, 1), entry: JSON.parse(text(reply, 2)) as Required<BackendPatch> };
  }

  /** The id is not given to another name again. */
  async backendRemove(name: string): Promise<Outcome> {
    return outcome(await this.#named('backend_remove', 'backends', name), {});
  }

  /**
   * @param cookieHash 32 hexadecimal digits in lower case
   * @param untilMs Unix ms, at most 253402300799999; 0 = allowed again
   */
  async sessionDeny(cookieHash: string, untilMs: number): Promise<{ id: string }> {
    return { id: text(await this.#named('session_deny', 'denied', cookieHash, untilMs), 1) };
  }

  /** @param value at most 24 bytes */
  async factSet(name: string, value: Text): Promise<{ id: string }> {
    return { id: text(await this.#named('fact_set', 'facts', name, value), 1) };
  }

  async factRemove(name: string): Promise<Outcome> {
    return outcome(await this.#named('fact_remove', 'facts', name), {});
  }

  #session(name: string, sid: Text, ...args: (Text | number)[]): Promise<readonly unknown[]> {
    return this.#call(name, this.#sessionKey(sid), sid, ...args);
  }

  #sessionKey(sid: Text): Buffer {
    return Buffer.concat([Buffer.from(this.#keys.sessionPrefix), Buffer.from(sid as string)]);
  }

  #named(name: string, table: string, ...args: (Text | number)[]): Promise<readonly unknown[]> {
    return this.#call(name, `${this.#keys.names}${table}`, ...args);
  }

  async #call(name: string, key: Text, ...args: (Text | number)[]): Promise<readonly unknown[]> {
    const call = (): Promise<unknown> => send(this.#redis, 'FCALL', name, 2, key, this.#keys.feed, ...args);
    let reply: unknown;
    try {
      reply = await call();
    } catch (error) {
      if (!(error instanceof SyncError) || !error.message.includes('Function not found')) throw refusal(name, error);
      await this.#install();
      reply = await call().catch((again: unknown) => {
        throw refusal(name, again);
      });
    }
    if (!Array.isArray(reply)) throw new SyncError('REDIS_REPLY', `${name}: found no list`);
    return reply;
  }
}

/** The library's own refusals begin with the function's name. */
function refusal(name: string, error: unknown): unknown {
  const own = `FCALL: ERR ${name}: `;
  if (!(error instanceof SyncError) || !error.message.startsWith(own)) return error;
  return new SyncError('FUNCTION_REFUSED', error.message.slice(own.length), { cause: error });
}

function outcome<Done>(reply: readonly unknown[], done: Done): Outcome<Done> {
  if (reply[0] === 1) return { done: true, id: text(reply, 1), ...done };
  return { done: false, why: text(reply, 1) as 'gone' | 'elsewhere' };
}

function text(reply: readonly unknown[], at: number): string {
  return String(reply[at]);
}

async function send(redis: Caller, command: string, ...args: (Text | number)[]): Promise<unknown> {
  try {
    return await redis.call(command, ...args);
  } catch (error) {
    const cause = withoutCommand(error);
    const refused = cause instanceof Error && cause.name === 'ReplyError';
    const message = `${command}: ${errorMessage(cause)}`;
    throw new SyncError(refused ? 'REDIS_REFUSED' : 'REDIS_CLOSED', message, { cause });
  }
}
