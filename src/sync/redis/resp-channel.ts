/**
 * Commands and their replies over a stream whose other end speaks RESP2, replies read in place. May be imported by
 * src/sync/redis/connection.ts only.
 *
 * There are two stores. A reply that is kept has one until the next reply that is kept is followed by another; all others are
 * read into the same store, one after the other. So whoever asks for the next only once the last one is done with never sees one overwritten.
 */
import type { Writable } from 'node:stream';
import { SyncError } from '../errors.ts';
import { encodeCommand } from './resp-command.ts';
import { Reply } from './resp-reply.ts';
import { RespScanner } from './resp-scanner.ts';

interface Pending {
  /** Called once, with the reply or why there is none. */
  readonly settle: (reply: Reply | null, error: unknown) => void;
  readonly keep: boolean;
  readonly begun: ((first: Buffer) => void) | null;
}

export class RespChannel {
  readonly #stream: Writable;
  readonly #pending: Pending[] = [];
  #scanner = new RespScanner();
  #other = new RespScanner();
  /** Something has come of the reply that is the next one. */
  #begun = false;
  #failure: unknown = null;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /**
   * @param args the command's name is the first
   * @param read is called with the reply as soon as it is there
   * @param keep what `read` returns refers to the reply
   * @param begun is called before that with the first bytes of the reply, and whatever follows them; may send, and not throw
   * @throws ReplyError where Redis answered with an error; what `read` throws; what `fail` was called with
   */
  send<T>(
    args: readonly (string | Buffer | number)[],
    read: (reply: Reply) => T,
    keep: boolean,
    begun: ((first: Buffer) => void) | null = null,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      const settle = (reply: Reply | null, error: unknown): void => {
        if (reply === null) {
          reject(error);
          return;
        }
        try {
          resolve(read(reply));
        } catch (failure) {
          reject(failure);
        }
      };
      this.#pending.push({ settle, keep, begun });
      this.#stream.write(encodeCommand(args), 'utf8');
    });
  }

  /** Takes what was read from the stream. @throws SyncError REDIS_REPLY, REPLY_TOO_LARGE: nothing that follows can be understood */
  receive(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      const [first] = this.#pending;
      if (first === undefined) throw new SyncError('REDIS_REPLY', 'Redis answered what it was not asked');
      if (!this.#begun) first.begun?.(rest);
      this.#begun = true;
      const taken = this.#scanner.push(rest);
      if (taken < 0) return;
      rest = rest.subarray(taken);
      this.#begun = false;
      this.#pending.shift();
      const reply = new Reply(this.#scanner.store);
      const error = reply.error(0);
      first.settle(error === null ? reply : null, error);
      if (first.keep) [this.#scanner, this.#other] = [this.#other, this.#scanner];
      this.#scanner.restart();
    }
  }

  /** No reply comes any more. */
  fail(reason: unknown): void {
    this.#failure ??= reason;
    for (const { settle } of this.#pending.splice(0)) settle(null, this.#failure);
  }
}
