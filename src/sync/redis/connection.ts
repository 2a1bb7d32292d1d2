/**
 * One connection to Redis, from its opening to its end. Every reply has a deadline: past it the connection is
 * dropped, so that a server that was paused or a peer that is gone without a word is noticed. And every reply has a largest
 * size, so that no value in Redis, however large, becomes as large in here.
 * May be imported by src/sync only.
 */
import { Redis } from 'ioredis';
import { errorMessage, SyncError, withoutCommand } from '../errors.ts';
import { REPLY_MAX_BYTES } from '../limits.ts';
import type { Runtime } from '../runtime.ts';
import { CONNECT_TIMEOUT_MS, type ConnectionOptions } from './redis-options.ts';
import { RespChannel } from './resp-channel.ts';
import type { Reply } from './resp-reply.ts';

export type Argument = string | Buffer | number;

export class Connection {
  readonly #redis: Redis;
  readonly #runtime: Runtime;
  /** Monotonic; no reply is awaited where it is infinite. */
  #deadlineMs = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  /** Why it was dropped from this side, or what its socket reported. */
  #reason: Error | undefined;
  #ended = false;
  #receivedBytes = 0;
  #channel: RespChannel | null = null;

  private constructor(redis: Redis, runtime: Runtime) {
    this.#redis = redis;
    this.#runtime = runtime;
  }

  /**
   * @param signal drops the connection, now or whenever it is aborted
   * @throws SyncError REDIS_CONNECT, REDIS_TIMEOUT
   */
  static async open(options: ConnectionOptions, runtime: Runtime, signal: AbortSignal): Promise<Connection> {
    const redis = new Redis(options);
    const connection = new Connection(redis, runtime);
    // A refused password and a database that doesn't exist come this way only.
    redis.on('error', (error: Error) => {
      connection.#reason ??= error;
    });
    const abort = (): void => connection.drop(new SyncError('REDIS_CLOSED', 'stopped'));
    redis.once('end', () => {
      connection.#ended = true;
      connection.#stopTimer();
      signal.removeEventListener('abort', abort);
    });
    signal.addEventListener('abort', abort);
    connection.expectReplyWithin(options.connectTimeout ?? CONNECT_TIMEOUT_MS);
    try {
      if (signal.aborted) throw new SyncError('REDIS_CLOSED', 'stopped');
      await redis.connect();
      if (connection.#reason !== undefined) throw connection.#reason;
      redis.stream.on('data', (chunk: Buffer) => connection.#received(chunk.length));
    } catch (error) {
      const reason = withoutCommand(connection.#reason ?? error);
      connection.drop();
      if (reason instanceof SyncError) throw reason;
      throw new SyncError('REDIS_CONNECT', `Redis can't be used: ${errorMessage(reason)}`, { cause: reason });
    }
    connection.expectNothing();
    return connection;
  }

  /**
   * From now on commands and replies go past ioredis, which has only opened the connection and sees it end: replies are read in
   * place. To be called before the first command.
   */
  readInPlace(): void {
    const { stream } = this.#redis;
    const channel = new RespChannel(stream);
    this.#channel = channel;
    // Among them is ioredis's reader; it has met every reply to what it sent before the connection was open.
    stream.removeAllListeners('data');
    stream.on('data', (chunk: Buffer) => {
      try {
        this.#received(chunk.length);
        if (this.#reason === undefined) channel.receive(chunk);
      } catch (error) {
        this.drop(error as Error);
      }
    });
    this.onEnd(() => channel.fail(this.#reason ?? new Error('Connection is closed.')));
  }

  /**
   * Sends one command. Bulk strings come as buffers, which are slices of what was read: copy what is kept.
   * @throws SyncError REDIS_REFUSED, REDIS_CLOSED, REDIS_TIMEOUT
   */
  call(command: string, ...args: Argument[]): Promise<unknown> {
    const reply =
      this.#channel === null
        ? this.#redis.callBuffer(command, ...args)
        : this.#channel.send(
            [command, ...args],
            reading(command, (reply) => reply.toValue()),
            false,
          );
    return reply.catch((error: unknown) => {
      throw this.#explain(command, error);
    });
  }

  /**
   * Sends one command over a connection whose replies are read in place.
   * @param read what it returns may refer to the reply, which is good until the reply after the next one that is read so
   * @throws as `call`; a SyncError that `read` throws, and REDIS_REPLY where it throws anything else
   */
  read<T>(read: (reply: Reply) => T, ...command: readonly Argument[]): Promise<T> {
    return this.#read(read, command, null);
  }

  /**
   * The same, for a command that can be followed by another as soon as its reply begins.
   * @param begun is called with the reply's first bytes, before it is read; may send, and not throw
   */
  readBegun<T>(begun: (first: Buffer) => void, read: (reply: Reply) => T, ...command: readonly Argument[]): Promise<T> {
    return this.#read(read, command, begun);
  }

  async #read<T>(
    read: (reply: Reply) => T,
    command: readonly Argument[],
    begun: ((first: Buffer) => void) | null,
  ): Promise<T> {
    if (this.#channel === null) throw new TypeError('read: found a connection that is read by ioredis');
    const name = String(command[0]);
    try {
      return await this.#channel.send(command, reading(name, read), true, begun);
    } catch (error) {
      throw this.#explain(name, error);
    }
  }

  /**
   * Sends the commands as one MULTI.
   * @returns their replies; one that failed when it was carried out is an Error
   * @throws as `call`
   */
  async transaction(commands: readonly (readonly [string, ...Argument[]])[]): Promise<unknown[]> {
    const replies = await this.#transact(commands, () => this.call('EXEC'));
    if (!Array.isArray(replies)) throw new SyncError('REDIS_REPLY', 'EXEC: found no list of replies');
    return replies;
  }

  /** The same as `transaction` is for `call`, for `read`; `read` gets the list of replies. */
  readTransaction<T>(commands: readonly (readonly [string, ...Argument[]])[], read: (replies: Reply) => T): Promise<T> {
    const checked = (replies: Reply): T => {
      replies.expectList(0, commands.length, 'EXEC');
      return read(replies);
    };
    return this.#transact(commands, () => this.read(checked, 'EXEC'));
  }

  async #transact<T>(commands: readonly (readonly [string, ...Argument[]])[], exec: () => Promise<T>): Promise<T> {
    let refusal: unknown;
    const noteRefusal = (error: unknown): void => {
      refusal ??= error;
    };
    this.call('MULTI').catch(noteRefusal);
    for (const [command, ...args] of commands) this.call(command, ...args).catch(noteRefusal);
    try {
      return await exec();
    } catch (error) {
      // EXEC's own error only says that one of the commands was refused.
      throw refusal ?? error;
    }
  }

  /**
   * Subscribes; from then on the connection takes no other command than PING.
   * @param patterns as of PSUBSCRIBE
   * @param listener is called with each message's channel
   * @throws as `call`
   */
  async listen(
    patterns: readonly string[],
    channels: readonly string[],
    listener: (channel: Buffer) => void,
  ): Promise<void> {
    this.#redis.on('pmessageBuffer', (_pattern: string, channel: Buffer) => listener(channel));
    this.#redis.on('messageBuffer', listener);
    try {
      await Promise.all([this.#redis.psubscribe(...patterns), this.#redis.subscribe(...channels)]);
    } catch (error) {
      throw this.#explain('SUBSCRIBE', error);
    }
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Calls back once when the connection has ended, whoever ended it. */
  onEnd(callback: () => void): void {
    if (this.#ended) callback();
    else this.#redis.once('end', callback);
  }

  /** Bytes read since a reply was last expected. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** From now on a reply to everything that was sent is due within `ms`, and has at most REPLY_MAX_BYTES. */
  expectReplyWithin(ms: number): void {
    this.#receivedBytes = 0;
    this.#deadlineMs = this.#runtime.monotonicMs() + ms;
    if (this.#timerDueMs > this.#deadlineMs) this.#startTimer();
  }

  expectNothing(): void {
    this.#deadlineMs = Number.POSITIVE_INFINITY;
  }

  /** Ends the connection at once; what is under way fails with `reason`. May be called again. */
  drop(reason?: Error): void {
    this.#reason ??= reason;
    this.#stopTimer();
    if (this.#redis.status === 'end') return;
    this.#redis.disconnect();
    // disconnect() waits for the peer, which may never answer. Before the first connect there is no stream.
    (this.#redis.stream as Redis['stream'] | undefined)?.destroy();
  }

  #received(bytes: number): void {
    this.#receivedBytes += bytes;
    if (this.#receivedBytes <= REPLY_MAX_BYTES) return;
    const allowed = `allowed: at most ${REPLY_MAX_BYTES} bytes`;
    this.drop(new SyncError('REPLY_TOO_LARGE', `a reply of Redis: found more than is allowed, ${allowed}`));
  }

  /** One timer for all replies: it is started anew when it fires too early, not for each reply. */
  #startTimer(): void {
    this.#cancelTimer?.();
    const nowMs = this.#runtime.monotonicMs();
    this.#timerDueMs = this.#deadlineMs;
    this.#cancelTimer = this.#runtime.timer(Math.max(0, this.#deadlineMs - nowMs), () => {
      this.#cancelTimer = undefined;
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      if (this.#deadlineMs === Number.POSITIVE_INFINITY) return;
      if (this.#runtime.monotonicMs() < this.#deadlineMs) this.#startTimer();
      else this.drop(new SyncError('REDIS_TIMEOUT', 'Redis did not answer in time'));
    });
  }

  #stopTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
  }

  #explain(command: string, error: unknown): unknown {
    if (error instanceof SyncError) return error;
    const reason = withoutCommand(error);
    if (reason instanceof Error && reason.name === 'ReplyError') {
      return new SyncError('REDIS_REFUSED', `${command}: ${errorMessage(reason)}`, { cause: reason });
    }
    if (this.#reason instanceof SyncError) return this.#reason;
    const cause = this.#reason ?? reason;
    return new SyncError('REDIS_CLOSED', `${command}: the connection was cut: ${errorMessage(cause)}`, { cause });
  }
}

/** What fails as a reply is read has nothing to do with the connection. */
function reading<T>(command: string, read: (reply: Reply) => T): (reply: Reply) => T {
  return (reply) => {
    try {
      return read(reply);
    } catch (error) {
      if (error instanceof SyncError) throw error;
      const message = `${command}: the reply can't be understood: ${errorMessage(error)}`;
      throw new SyncError('REDIS_REPLY', message, { cause: error });
    }
  };
}
