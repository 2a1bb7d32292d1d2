/**
 * Requests on one connection, whose replies are applied in the order in which they were sent, which is the order in
 * which Redis read: so what is applied last is what was read last. May be imported by src/sync only.
 */
import type { Connection } from '../redis/connection.ts';

export class OrderedReader {
  readonly #connection: Connection;
  readonly #deadlineMs: number;
  #outstanding = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param deadlineMs for the replies to one request */
  constructor(connection: Connection, deadlineMs: number) {
    this.#connection = connection;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * @param ask sends at once
   * @param apply is called after those of all earlier requests
   * @throws what either throws
   */
  send<Reply, Result>(
    ask: (connection: Connection) => Promise<Reply>,
    apply: (reply: Reply) => Result,
  ): Promise<Result> {
    this.#outstanding += 1;
    this.#connection.expectReplyWithin(this.#deadlineMs);
    const reply = ask(this.#connection);
    // Its failure is met when its turn comes.
    reply.catch(() => undefined);
    const result = this.#last.then(async () => {
      try {
        return apply(await reply);
      } finally {
        this.#outstanding -= 1;
        if (this.#outstanding === 0) this.#connection.expectNothing();
        else this.#connection.expectReplyWithin(this.#deadlineMs);
      }
    });
    this.#last = result.catch(() => undefined);
    return result;
  }
}
