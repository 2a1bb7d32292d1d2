/**
 * Follows Redis by keyspace notifications, for writers that know of no feed: a key that changed is read again. One
 * MasterLink for each master. May be imported by src/sync only.
 *
 *     masters ─▶ MasterLink ─▶ …           once a second, a round over all links:
 *                MasterLink ─▶ table         PING and facts sent ─▶ all in ─▶ all keys that changed by then applied ─▶ in step
 *
 * Notifications are sent once at most. What can be missed is made up for by a full resync: while a link was down, when
 * more keys changed than are remembered, and when a database was emptied or exchanged as a whole, which has no events.
 */
import { isDeepStrictEqual } from 'node:util';
import { SyncError } from '../errors.ts';
import { hashSlot } from '../redis/hash-slot.ts';
import type { RedisMaster, RedisTarget } from '../redis/redis-target.ts';
import { Backoff, type Runtime, sleep } from '../runtime.ts';
import { CURSOR_START, type SessionsOptions } from '../snapshot/pages.ts';
import type { Snapshot, SnapshotPage, SnapshotSource } from '../snapshot/snapshot.ts';
import type { Version } from '../table.ts';
import type { KeyRead, RedisTable } from '../tables/redis-table.ts';
import { Reread } from '../tables/reread.ts';
import type { Tuning } from '../tuning.ts';
import { Waiters } from '../waiters.ts';
import { missingEvents } from './keyspace-events.ts';
import { LocalVersions } from './local-versions.ts';
import { type LinkParts, MasterLink, type Redirect, redirectOf } from './master-link.ts';

/** Why changes may have been missed. */
export type MissedEvents =
  | 'start'
  /** A connection to a master was lost. */
  | 'connection-lost'
  /** Others are masters now. */
  | 'masters-changed'
  /** A database was emptied or exchanged, or the server holds another history of data. */
  | 'data-replaced'
  /** Redis did not send what is needed, and does now. */
  | 'events-were-off'
  /** More keys changed at a time than are remembered. */
  | 'overflow';

export interface NotificationsEvents {
  /** All masters are followed. */
  connected(masters: number): void;
  /** Something failed that is tried again. */
  failed(error: unknown): void;
  gap(kind: MissedEvents): void;
  /** Slots of a cluster have other owners. Keys that move one by one have events; a comparison finds those that moved otherwise. */
  slotsMoved(): void;
  /** @param missing flags of notify-keyspace-events that a master lacks; null where it can't be asked. Called when it changes. */
  eventsMissing(missing: string | null): void;
  /** Queues a key as it was read. @returns whether it is a session */
  apply(key: Buffer, value: Buffer | null, ends: number, version: Version): boolean;
  flush(): void;
  /** The table is what Redis held at `monotonicMs`. */
  atEnd(monotonicMs: number): void;
}

export interface NotificationsOptions extends SessionsOptions {
  readonly redis: RedisTarget;
  /** Read as a whole after each change of one of their keys. */
  readonly tables: readonly RedisTable[];
}

/** A table, and how often a reading of it has ended, or could not be carried out. */
interface ReadTable {
  readonly table: RedisTable;
  readonly reread: Reread;
  ended: number;
}

/** How often a round looks whether keys that went from one node to another have arrived. */
const SETTLE_TRIES = 4;
/** Rounds that end with a key that no node will have, before that is told. */
const HOMELESS_ROUNDS = 3;

interface Followed {
  master: RedisMaster;
  readonly controller: AbortController;
  readonly backoff: Backoff;
  link: MasterLink | null;
  done: Promise<void>;
}

export class Notifications implements SnapshotSource {
  readonly #options: NotificationsOptions;
  readonly #runtime: Runtime;
  readonly #tuning: Tuning;
  readonly #events: NotificationsEvents;
  readonly #linkParts: LinkParts;
  readonly #versions: LocalVersions;
  /** By the master's id. */
  readonly #followed = new Map<string, Followed>();
  /** Keys that the node that was asked doesn't have, until it is known who has. */
  readonly #homeless = new Set<string>();
  /** Rounds in a row that ended with some. */
  #homelessRounds = 0;
  #connected = false;
  #connections = 0;
  /** Of links that have ended. */
  readonly #endedCounts = { events: 0, reads: 0 };
  /** Raised by each gap: what a round found before it counts no more. */
  #epoch = 0;
  #round = 0;
  /** How often a key was handed from one node to another. */
  #handedOver = 0;
  #wake = new AbortController();
  /** Undefined as long as none was asked. */
  #missing: string | null | undefined;
  #slotsMoved = false;
  #snapshots = 0;
  readonly #tables: readonly ReadTable[];
  readonly #allConnected = new Waiters<null>();
  /** For each table, how many readings must have ended. */
  readonly #tablesRead = new Waiters<readonly number[]>();
  readonly #rounds = new Waiters<number>();

  constructor(options: NotificationsOptions, runtime: Runtime, tuning: Tuning, events: NotificationsEvents) {
    this.#options = options;
    this.#runtime = runtime;
    this.#tuning = tuning;
    this.#events = events;
    this.#versions = new LocalVersions(runtime);
    this.#tables = options.tables.map((table) => {
      const one: ReadTable = { table, reread: new Reread(() => this.#readTable(one)), ended: 0 };
      return one;
    });
    const byKey = new Map(this.#tables.flatMap(({ table, reread }) => table.keys.map((key) => [key, reread])));
    this.#linkParts = {
      prefix: options.prefix,
      backend: options.backend,
      tableKeys: [...byKey.keys()],
      runtime,
      tuning,
      events: {
        tableChanged: (key) => byKey.get(key)?.want(),
        elsewhere: (key, redirect) => this.#handOver(key, redirect),
        overflow: () => this.#gap('overflow'),
        apply: (key, value, ends) => events.apply(key, value, ends, this.#versions.next()),
        flush: () => events.flush(),
      },
    };
  }

  /** All masters are followed. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Connections to masters that got as far as the subscription. */
  get connections(): number {
    return this.#connections;
  }

  /** Flags of notify-keyspace-events that a master lacks; null where it can't be asked, or wasn't yet. */
  get missingEvents(): string | null {
    return this.#missing ?? null;
  }

  /** Keys that changed and are not read yet. */
  get pending(): number {
    return this.#links().reduce((sum, link) => sum + link.pending, this.#homeless.size);
  }

  /** Since the start. */
  get counts(): { readonly events: number; readonly reads: number } {
    const sum = { ...this.#endedCounts };
    for (const { counts } of this.#links()) addTo(sum, counts);
    return sum;
  }

  /** Follows until `signal` is aborted; every failure is reported and followed by another try. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#runtime, this.#tuning.backoffMinMs, this.#tuning.backoffMaxMs);
    const stop = (): void => this.#wake.abort();
    signal.addEventListener('abort', stop);
    this.#gap('start');
    while (!signal.aborted) {
      this.#wake = new AbortController();
      let waitMs = this.#tuning.checkEveryMs;
      try {
        await this.#goRound(signal);
        backoff.reset();
      } catch (error) {
        if (!signal.aborted) this.#events.failed(error);
        waitMs = backoff.nextMs();
      }
      if (!signal.aborted) await sleep(this.#runtime, waitMs, this.#wake.signal);
    }
    signal.removeEventListener('abort', stop);
    const all = [...this.#followed.values()];
    for (const followed of all) this.#unfollow(followed);
    await Promise.all(all.map(({ done }) => done));
  }

  /** This table is read again. */
  reread(table: RedisTable): void {
    for (const one of this.#tables) if (one.table === table) one.reread.want();
  }

  /** Resolves once all that had changed when this was called is in the table. @throws the signal's reason */
  caughtUp(signal: AbortSignal): Promise<void> {
    const wait = this.#rounds.wait(this.#round, signal);
    this.#wake.abort();
    return wait;
  }

  async open(signal: AbortSignal): Promise<Snapshot> {
    while (!this.#connected) await this.#allConnected.wait(null, signal);
    this.#snapshots += 1;
    return new NotificationsSnapshot(this.#links(), this.#runtime, {
      close: () => {
        this.#snapshots -= 1;
      },
      readTables: (of) => {
        const wanted = this.#tables.map(({ ended }) => ended + 1);
        const read = this.#tablesRead.wait(wanted, of);
        this.#readTables();
        return read;
      },
      caughtUp: (of) => this.caughtUp(of),
    });
  }

  #links(): MasterLink[] {
    return [...this.#followed.values()].flatMap(({ link }) => (link === null ? [] : [link]));
  }

  #gap(kind: MissedEvents): void {
    this.#epoch += 1;
    this.#events.gap(kind);
  }

  /** @throws SyncError where nobody names the masters, or a link has ended */
  async #goRound(signal: AbortSignal): Promise<void> {
    const sentMs = this.#runtime.monotonicMs();
    const epoch = this.#epoch;
    this.#round += 1;
    const round = this.#round;
    this.#follow(await this.#options.redis.masters(signal), signal);
    if (!this.#connected) return;
    for (const { reread } of this.#tables) if (reread.failed) reread.want();
    // One that runs may have read them at the old owner, or not at all.
    if (this.#slotsMoved && this.#snapshots === 0) {
      this.#slotsMoved = false;
      this.#events.slotsMoved();
    }
    const links = this.#links();
    const before = links.map(({ facts }) => facts);
    // One that fails has ended, and says so itself.
    const checked = await Promise.allSettled(links.map((link) => link.check()));
    if (checked.some(({ status }) => status === 'rejected')) return;
    if (links.some(({ facts }, i) => facts.dataIdentity !== before[i]?.dataIdentity)) this.#gap('data-replaced');
    this.#noteEvents(links);
    const all = await this.#allApplied(links);
    this.#noteHomeless();
    if (!all || epoch !== this.#epoch || !this.#connected) return;
    for (const { backoff } of this.#followed.values()) backoff.reset();
    // Where events are missing or can't be asked for, what is known is in the table all the same.
    if (!this.#missing) this.#events.atEnd(sentMs);
    this.#rounds.resolve((wanted) => round > wanted);
  }

  /** @returns whether all that changed before this call is in the table */
  async #allApplied(links: readonly MasterLink[]): Promise<boolean> {
    for (let i = 0; i < SETTLE_TRIES; i++) {
      this.#dispatch();
      const handedOver = this.#handedOver;
      const settled = await Promise.allSettled(links.map((link) => link.settled()));
      if (settled.some(({ status }) => status === 'rejected')) return false;
      const tables = await Promise.all(this.#tables.map(({ reread }) => reread.caughtUp()));
      if (handedOver === this.#handedOver && this.#homeless.size === 0) return tables.every(Boolean);
    }
    return false;
  }

  /** In a round or two of them the nodes agree on a slot that has moved. */
  #noteHomeless(): void {
    this.#homelessRounds = this.#homeless.size === 0 ? 0 : this.#homelessRounds + 1;
    if (this.#homelessRounds < HOMELESS_ROUNDS) return;
    const found = `${this.#homeless.size} keys that changed are with no node that will have them`;
    const todo = 'the nodes of the cluster disagree on who has their slots: see redis-cli --cluster check';
    this.#events.failed(new SyncError('NO_MASTER', `${found}: ${todo}`));
  }

  #noteEvents(links: readonly MasterLink[]): void {
    const events = links.map(({ facts }) => facts.events);
    const known = events.filter((flags) => flags !== null);
    const flags = new Set(known.flatMap((flags) => [...missingEvents(flags)]));
    const missing = known.length < events.length && flags.size === 0 ? null : [...flags].join('');
    if (missing === this.#missing) return;
    if (this.#missing && !missing) this.#gap('events-were-off');
    this.#missing = missing;
    this.#events.eventsMissing(missing);
  }

  /** Makes these the masters that are followed. */
  #follow(masters: readonly RedisMaster[], signal: AbortSignal): void {
    const first = this.#followed.size === 0;
    const wanted = new Map(masters.map((master) => [master.id, master]));
    let changed = false;
    for (const [id, followed] of this.#followed) {
      if (wanted.has(id)) continue;
      this.#unfollow(followed);
      this.#followed.delete(id);
      changed = true;
    }
    for (const [id, master] of wanted) {
      const known = this.#followed.get(id);
      if (known !== undefined) {
        if (!isDeepStrictEqual(known.master.slots, master.slots)) this.#slotsMoved = true;
        known.master = master;
      } else {
        this.#followed.set(id, this.#followOne(master, signal));
        changed = true;
      }
    }
    if (!changed) return;
    this.#connected = false;
    if (!first) this.#gap('masters-changed');
    this.#seeWhetherConnected();
  }

  #followOne(master: RedisMaster, signal: AbortSignal): Followed {
    const controller = new AbortController();
    const stop = (): void => controller.abort();
    signal.addEventListener('abort', stop);
    const { backoffMinMs, backoffMaxMs } = this.#tuning;
    const backoff = new Backoff(this.#runtime, backoffMinMs, backoffMaxMs);
    const followed: Followed = { master, controller, backoff, link: null, done: Promise.resolve() };
    followed.done = this.#keepLink(followed).finally(() => signal.removeEventListener('abort', stop));
    return followed;
  }

  #unfollow({ controller, link }: Followed): void {
    controller.abort();
    link?.close();
  }

  async #keepLink(followed: Followed): Promise<void> {
    const { signal } = followed.controller;
    while (!signal.aborted) {
      try {
        const link = await MasterLink.open(followed.master, this.#linkParts, signal);
        followed.link = link;
        this.#connections += 1;
        this.#seeWhetherConnected();
        await link.run();
      } catch (error) {
        followed.link?.close(error);
        if (!signal.aborted) this.#events.failed(error);
      }
      if (followed.link !== null) {
        addTo(this.#endedCounts, followed.link.counts);
        followed.link = null;
        this.#connected = false;
        if (!signal.aborted) this.#gap('connection-lost');
      }
      if (!signal.aborted) await sleep(this.#runtime, followed.backoff.nextMs(), signal);
    }
  }

  #seeWhetherConnected(): void {
    if (this.#connected || this.#followed.size === 0 || this.#links().length < this.#followed.size) return;
    this.#connected = true;
    this.#events.connected(this.#followed.size);
    this.#readTables();
    this.#allConnected.resolve(() => true);
    this.#wake.abort();
  }

  #handOver(key: string, redirect: Redirect | null): void {
    this.#handedOver += 1;
    const target = redirect?.once ? this.#followed.get(redirect.node)?.link : undefined;
    if (target) target.add(key, true);
    else if (this.#homeless.size < this.#tuning.pendingKeysMax) this.#homeless.add(key);
    else {
      this.#homeless.clear();
      this.#gap('overflow');
    }
  }

  /** Hands keys to those whose slots they are in, as the masters were last named. */
  #dispatch(): void {
    for (const key of this.#homeless) {
      const link = this.#ownerOf(Buffer.from(key, 'latin1'));
      if (link === undefined) continue;
      this.#homeless.delete(key);
      link.add(key);
    }
  }

  #ownerOf(key: Buffer): MasterLink | undefined {
    const slot = hashSlot(key);
    for (const { master, link } of this.#followed.values()) {
      if (link !== null && master.slots.some(([first, last]) => slot >= first && slot <= last)) return link;
    }
    return undefined;
  }

  #readTables(): void {
    for (const { reread } of this.#tables) reread.want();
  }

  /** @returns false where it is to be tried again */
  async #readTable(one: ReadTable): Promise<boolean> {
    const { table } = one;
    let refusal: SyncError | null = null;
    try {
      let over = false;
      for (let first = true; !over; first = false) {
        const replies = await Promise.all(table.reads(first).map((read) => this.#readKey(read)));
        over = table.apply(replies, first);
      }
    } catch (error) {
      // One whose link has ended, or whose slot has moved on, is read when it is known who has it.
      if (!(error instanceof SyncError) || error.code === 'REDIS_REPLY') this.#events.failed(error);
      if (!(error instanceof SyncError) || error.code !== 'REDIS_REFUSED' || redirectOf(error) !== null) return false;
      refusal = error;
      table.unreadable(refusal);
    }
    one.ended += 1;
    this.#tablesRead.resolve((wanted) => this.#tables.every(({ ended }, i) => ended >= (wanted[i] as number)));
    return refusal === null;
  }

  /** @throws SyncError */
  async #readKey(read: KeyRead): Promise<unknown> {
    const owner = this.#ownerOf(Buffer.from(read.key));
    if (owner === undefined) throw new SyncError('REDIS_CLOSED', `nobody has the slot of ${read.key}`);
    try {
      return await owner.read(read);
    } catch (error) {
      const redirect = redirectOf(error);
      const other = redirect === null ? null : this.#followed.get(redirect.node)?.link;
      if (!other) throw error;
      return await other.read(read, redirect?.once);
    }
  }
}

interface SnapshotParts {
  readTables(signal: AbortSignal): Promise<void>;
  caughtUp(signal: AbortSignal): Promise<void>;
  close(): void;
}

/** Master after master. A page is applied as it comes in, in its turn among the keys that are read. */
class NotificationsSnapshot implements Snapshot {
  readonly #links: readonly MasterLink[];
  readonly #runtime: Runtime;
  readonly #parts: SnapshotParts;

  constructor(links: readonly MasterLink[], runtime: Runtime, parts: SnapshotParts) {
    this.#links = links;
    this.#runtime = runtime;
    this.#parts = parts;
  }

  readTables(signal: AbortSignal): Promise<void> {
    return this.#parts.readTables(signal);
  }

  /** @param cursor `<number of the link>:<cursor of its SCAN>` */
  async ask(cursor: string): Promise<SnapshotPage> {
    const [number, scan] = cursor === CURSOR_START ? [0, CURSOR_START] : parts(cursor);
    const link = this.#links[number] as MasterLink;
    const sentMs = this.#runtime.monotonicMs();
    const page = await link.page(scan);
    let next = CURSOR_START;
    if (page.cursor !== CURSOR_START) next = `${number}:${page.cursor}`;
    else if (number + 1 < this.#links.length) next = `${number + 1}:${CURSOR_START}`;
    const tookMs = this.#runtime.monotonicMs() - sentMs;
    return { cursor: next, tookMs, apply: () => page.sessions, discard: () => undefined };
  }

  caughtUp(signal: AbortSignal): Promise<void> {
    return this.#parts.caughtUp(signal);
  }

  /** The links stay. */
  close(): void {
    this.#parts.close();
  }
}

function parts(cursor: string): [number, string] {
  const at = cursor.indexOf(':');
  return [Number(cursor.slice(0, at)), cursor.slice(at + 1)];
}

function addTo(
  sum: { events: number; reads: number },
  counts: { readonly events: number; readonly reads: number },
): void {
  sum.events += counts.events;
  sum.reads += counts.reads;
}
