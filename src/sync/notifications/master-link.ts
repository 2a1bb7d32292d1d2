/**
 * One master, followed by its notifications. May be imported by src/sync only.
 *
 *     events ──▶ subscriber ──▶ PendingKeys ──▶ reader: key.lua, page.lua ──▶ session table
 *
 * Two connections, which live and end together: a subscriber takes no other commands, and all reading goes over the
 * other one, so that replies come in the order in which Redis read (OrderedReader). A change after a key was read
 * has an event that comes later, and is read again.
 */

import { SyncError } from '../errors.ts';
import { KEYS_MAX_BYTES, SID_MAX_BYTES } from '../limits.ts';
import type { Argument, Connection } from '../redis/connection.ts';
import type { RedisMaster } from '../redis/redis-target.ts';
import { evaluate, isNoScript, KEY_SCRIPT, PAGE_SCRIPT } from '../redis/scripts.ts';
import { readFacts, type ServerFacts } from '../redis/server-facts.ts';
import type { Runtime } from '../runtime.ts';
import { asPage, escapeGlob, pageArguments, type SessionsOptions } from '../snapshot/pages.ts';
import { ELSEWHERE, isEnd } from '../snapshot/record-ends.ts';
import { readArguments } from '../snapshot/session-forms.ts';
import { asCommand, type KeyRead } from '../tables/redis-table.ts';
import type { Tuning } from '../tuning.ts';
import { channelPrefix } from './keyspace-events.ts';
import { OrderedReader } from './ordered-reader.ts';
import { type PendingKey, PendingKeys } from './pending-keys.ts';

/** Where another node has a key. */
export interface Redirect {
  /** `host:port` */
  readonly node: string;
  /** Only this once (ASK): the slot is still on its way. Else it is the node's from now on (MOVED). */
  readonly once: boolean;
}

/** What a link brings. None may take long. */
export interface LinkEvents {
  /** A change of one of `tableKeys`. */
  tableChanged(key: string): void;
  /** @param redirect null where the node only says that the key isn't its own */
  elsewhere(key: string, redirect: Redirect | null): void;
  /** More keys changed than are remembered. */
  overflow(): void;
  /** Queues a key as it was read. @returns whether it is a session */
  apply(key: Buffer, value: Buffer | null, ends: number): boolean;
  /** Carries out what is queued. */
  flush(): void;
}

export interface LinkParts extends SessionsOptions {
  /** Keys of the tables that are read as a whole. */
  readonly tableKeys: readonly string[];
  readonly runtime: Runtime;
  readonly tuning: Tuning;
  readonly events: LinkEvents;
}

export class MasterLink {
  readonly master: RedisMaster;
  /** As last read. */
  facts: ServerFacts = { dataIdentity: null, role: null, events: null };
  readonly counts = { events: 0, reads: 0 };
  readonly #subscriber: Connection;
  readonly #readerConnection: Connection;
  readonly #reader: OrderedReader;
  readonly #parts: LinkParts;
  readonly #pending: PendingKeys;
  readonly #keysAtOnce: number;
  readonly #ended = new AbortController();
  #wake: () => void = () => undefined;

  private constructor(master: RedisMaster, subscriber: Connection, reader: Connection, parts: LinkParts) {
    this.master = master;
    this.#subscriber = subscriber;
    this.#readerConnection = reader;
    this.#reader = new OrderedReader(reader, parts.tuning.pageDeadlineMs);
    this.#parts = parts;
    this.#pending = new PendingKeys(parts.tuning.pendingKeysMax);
    const [, , maxBytes] = readArguments(parts.backend);
    this.#keysAtOnce = Math.min(parts.tuning.keysAtOnce, Math.floor(KEYS_MAX_BYTES / maxBytes));
    for (const connection of [subscriber, reader]) {
      // A call on it says why it has ended.
      connection.onEnd(() => void connection.call('PING').catch((error: unknown) => this.close(error)));
    }
  }

  /**
   * Connects and subscribes: from then on nothing is missed until the link ends.
   * @throws SyncError
   */
  static async open(master: RedisMaster, parts: LinkParts, signal: AbortSignal): Promise<MasterLink> {
    const reader = await master.open('session-gateway-reader', signal);
    let subscriber: Connection | undefined;
    try {
      subscriber = await master.open('session-gateway-events', signal);
      const link = new MasterLink(master, subscriber, reader, parts);
      await link.#begin();
      return link;
    } catch (error) {
      subscriber?.drop();
      reader.drop();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    const { replyGraceMs } = this.#parts.tuning;
    this.#subscriber.expectReplyWithin(replyGraceMs);
    // Behind one name there may be two servers for a moment.
    const there = await readFacts(this.#subscriber);
    const prefix = channelPrefix(this.master.options('').db ?? 0);
    const tables = new Map(this.#parts.tableKeys.map((key) => [prefix + key, key]));
    await this.#subscriber.listen([`${prefix}${escapeGlob(this.#parts.prefix)}*`], [...tables.keys()], (channel) =>
      this.#changed(channel, prefix.length, tables),
    );
    this.#subscriber.expectNothing();
    this.facts = await this.#readFacts();
    this.#mustBeMaster();
    if (runId(there) !== runId(this.facts)) {
      throw new SyncError('REDIS_CONNECT', 'two connections led to two servers');
    }
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Aborted when the link has ended; the reason is why. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Reads what changes until the link has ended, and throws why. */
  async run(): Promise<never> {
    for (;;) {
      this.#ended.signal.throwIfAborted();
      const keys = this.#pending.take(this.#keysAtOnce);
      if (keys.length > 0) {
        await this.#read(keys);
        this.#pending.settle(keys.length);
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  close(reason: unknown = new SyncError('REDIS_CLOSED', 'stopped')): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort(reason);
    this.#subscriber.drop();
    this.#readerConnection.drop();
    this.#wake();
  }

  /** Has a key read. */
  add(key: string, asking = false): void {
    if (!this.#pending.add(key, asking)) {
      this.#pending.clear();
      this.#parts.events.overflow();
    }
    this.#wake();
  }

  /**
   * Resolves once every event that was sent before this call has come in, and `facts` are as of now. A peer that is gone without a
   * word is noticed here.
   * @throws why the link has ended
   */
  async check(): Promise<void> {
    this.#subscriber.expectReplyWithin(this.#parts.tuning.replyGraceMs);
    const pong = this.#subscriber.call('PING');
    try {
      [, this.facts] = await Promise.all([pong, this.#readFacts()]);
      this.#subscriber.expectNothing();
      this.#mustBeMaster();
    } catch (error) {
      this.close(error);
      throw error;
    }
  }

  /** Resolves once all keys that changed before this call are read and applied. @throws why the link has ended */
  settled(): Promise<void> {
    return this.#pending.settled(this.#ended.signal);
  }

  /**
   * Reads of a table.
   * @param asking the key is on its way to this node of the cluster
   * @throws SyncError
   */
  read(read: KeyRead, asking = false): Promise<unknown> {
    return this.#reader.send(
      (connection) => {
        if (!asking) return evaluate(connection, read.script, [read.key], read.args);
        // It is for one command only. Its failure is that of the next command.
        connection.call('ASKING').catch(() => undefined);
        return connection.call(...asCommand(read));
      },
      (reply) => reply,
    );
  }

  /** Reads and applies a page of a snapshot. @returns the next page's cursor, and how many sessions there were */
  page(cursor: string): Promise<{ readonly cursor: string; readonly sessions: number }> {
    const { events, tuning } = this.#parts;
    const args = pageArguments(this.#parts, cursor, tuning.pageSize);
    return this.#reader.send(
      (connection) => evaluate(connection, PAGE_SCRIPT, [], args),
      (reply) => {
        const page = asPage(reply);
        let sessions = 0;
        for (let i = 2; i + 2 < page.length; i += 3) {
          if (this.#apply(page[i], page[i + 1], page[i + 2])) sessions += 1;
        }
        events.flush();
        return { cursor: String(page[0]), sessions };
      },
    );
  }

  /** A replica may take over all of its master's data anew at any time, of which no key has an event. @throws SyncError NO_MASTER */
  #mustBeMaster(): void {
    const { role } = this.facts;
    if (role === null || role === 'master') return;
    const allowed =
      'allowed with feed.from: notifications: a master. Name it in redis.url, or sentinels in redis.sentinel';
    throw new SyncError('NO_MASTER', `${this.master.id}: found the role ${role}; ${allowed}`);
  }

  #readFacts(): Promise<ServerFacts> {
    return this.#reader.send(readFacts, (facts) => facts);
  }

  #changed(channel: Buffer, prefixLength: number, tables: ReadonlyMap<string, string>): void {
    this.counts.events += 1;
    const table = tables.get(channel.toString('utf8'));
    if (table !== undefined) {
      this.#parts.events.tableChanged(table);
      return;
    }
    // No session has a longer key.
    if (channel.length > prefixLength + Buffer.byteLength(this.#parts.prefix) + SID_MAX_BYTES) return;
    this.add(channel.toString('latin1', prefixLength));
  }

  async #read(keys: readonly PendingKey[]): Promise<void> {
    this.counts.reads += keys.length;
    const all = keys.map(({ key, asking }) => ({ bytes: Buffer.from(key, 'latin1'), asking }));
    await this.#reader.send(
      async (connection) => {
        const replies = await this.#askFor(connection, all, 'EVALSHA_RO', KEY_SCRIPT.sha1);
        const unknown = replies.some((reply) => reply.status === 'rejected' && isNoScript(reply.reason));
        return unknown ? await this.#askFor(connection, all, 'EVAL_RO', KEY_SCRIPT.text) : replies;
      },
      (replies) => {
        replies.forEach((reply, i) => {
          const { key } = keys[i] as PendingKey;
          if (reply.status === 'fulfilled') {
            const [value, ends] = reply.value as unknown[];
            this.#apply((all[i] as { bytes: Buffer }).bytes, value, ends);
          } else {
            const redirect = redirectOf(reply.reason);
            if (redirect === null) throw reply.reason;
            this.#parts.events.elsewhere(key, redirect);
          }
        });
        this.#parts.events.flush();
      },
    );
  }

  #askFor(
    connection: Connection,
    keys: readonly { readonly bytes: Buffer; readonly asking: boolean }[],
    command: string,
    script: Argument,
  ): Promise<PromiseSettledResult<unknown>[]> {
    const args = readArguments(this.#parts.backend);
    return Promise.allSettled(
      keys.map(({ bytes, asking }) => {
        // Its failure is that of the next command.
        if (asking) connection.call('ASKING').catch(() => undefined);
        return connection.call(command, script, 1, bytes, ...args);
      }),
    );
  }

  /** @throws SyncError REDIS_REPLY where it is not what record.lua returns */
  #apply(key: unknown, value: unknown, ends: unknown): boolean {
    const isValue = value === null || Buffer.isBuffer(value);
    if (!Buffer.isBuffer(key) || !isValue || !isEnd(ends, value !== null)) {
      throw new SyncError('REDIS_REPLY', 'a record: found something else than a session');
    }
    if (ends === ELSEWHERE) {
      this.#parts.events.elsewhere(key.toString('latin1'), null);
      return false;
    }
    return this.#parts.events.apply(key, value, ends);
  }
}

function runId({ dataIdentity }: ServerFacts): string | undefined {
  return dataIdentity?.split(' ').find((field) => field.startsWith('run_id:'));
}

/** @returns where an error that Redis answered leads to; null where it leads nowhere */
export function redirectOf(error: unknown): Redirect | null {
  const match = error instanceof SyncError ? /: (MOVED|ASK) \d+ (\S+)$/.exec(error.message) : null;
  return match === null ? null : { node: match[2] as string, once: match[1] === 'ASK' };
}
