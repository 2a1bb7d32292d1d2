/**
 * Answers requests that come through the host's sockets: all of them where there is no XDP program, and those that the program
 * leaves to the host where there is one. What it says is src/auth/respond.ts, which the program is tested against byte
 * for byte. May be imported by src/gateway only.
 */
import { lookupRequestLayout, RequestType, Verdict, wireHeaderLayout } from '../../abi.ts';
import { NAME_HASH_SIZE } from '../../auth/cookie.ts';
import type { Key } from '../../auth/keyring.ts';
import { type Response, respond } from '../../auth/respond.ts';
import type { ResponderTables } from '../../auth/responder-tables.ts';
import { SkewBudget } from '../../auth/skew-budget.ts';
import type { Runtime } from '../../sync/runtime.ts';
import type { VerdictName } from '../ports.ts';
import type { AllowList } from './allow-list.ts';
import type { Sender } from './datagram-sockets.ts';
import type { Misses } from './misses.ts';
import type { SlowPathBudget } from './slow-path-budget.ts';

/** What the answers are made from; the rest of ResponderTables is the responder's own. */
export type AnswerTables = Omit<ResponderTables, 'allows' | 'key' | 'spendSkewBudget'>;

export interface ResponderOptions {
  readonly tables: AnswerTables;
  /** The key in force under an id. */
  readonly key: (id: number) => Key | undefined;
  readonly allowList: AllowList;
  /** Requests outside the skew that are looked at, a second. */
  readonly skewBudget: number;
  /** Null = everything is looked at. */
  readonly budget: SlowPathBudget | null;
  /** Who asks Redis about a session that is not found; null = nobody. */
  readonly misses: Misses | null;
  readonly runtime: Pick<Runtime, 'monotonicMs'>;
}

export class Responder {
  readonly #options: ResponderOptions;
  readonly #tables: ResponderTables;
  readonly #verdicts = new Float64Array(Verdict.COUNT);
  #isClosed = false;
  /** Backends that the answer in the making names. */
  #named: number[] = [];
  /** Whose key its request was authentic by. */
  #usedKey: number | undefined;

  constructor(options: ResponderOptions) {
    const { tables, key, allowList, skewBudget } = options;
    const budget = new SkewBudget(skewBudget);
    this.#options = options;
    this.#tables = {
      // In the order of ResponderTables; each is asked anew for every request.
      get settings() {
        return tables.settings;
      },
      allows: (source) => allowList.allows(source),
      key,
      session: (hash) => tables.session(hash),
      backend: (id) => tables.backend(id),
      ring: () => tables.ring(),
      denied: (hash) => tables.denied(hash),
      fact: (hash) => tables.fact(hash),
      spendSkewBudget: (nowMs) => budget.spend(nowMs),
      countAnswer: (id) => void this.#named.push(id),
      countKeyUse: (id) => {
        this.#usedKey = id;
      },
    };
  }

  /** Datagrams by what became of them, since the start. */
  verdictCounts(): Record<VerdictName, number> {
    const names = Object.entries(Verdict).filter(([name]) => name !== 'COUNT') as [VerdictName, number][];
    return Object.fromEntries(names.map(([name, verdict]) => [name, this.#verdicts[verdict] ?? 0])) as Record<
      VerdictName,
      number
    >;
  }

  /** From now on the tables are not read any more, whatever is still waited for. */
  close(): void {
    this.#isClosed = true;
  }

  /** To be called with each datagram. */
  receive(datagram: Uint8Array, sender: Sender): void {
    const { budget, runtime } = this.#options;
    // Who floods the host's sockets must not hold up what else this thread does: it follows Redis, too.
    if (this.#isClosed || budget?.receive(runtime.monotonicMs()) === false) return;
    const answer = this.#answer(datagram, sender);
    if (isTagChecked(answer)) budget?.spend();
    const asked = isMiss(datagram, answer) ? this.#ask(datagram, sender) : undefined;
    if (asked === undefined) this.#send(answer, sender);
  }

  /** Asks Redis, then answers. @returns undefined where it is not asked */
  #ask(datagram: Uint8Array, sender: Sender): Promise<void> | undefined {
    const { misses } = this.#options;
    const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
    const at = lookupRequestLayout.offset.hash;
    const hash = bytes.toString('hex', at, at + NAME_HASH_SIZE);
    const keyId = bytes.readUInt32BE(wireHeaderLayout.offset.keyId);
    return misses?.ask(hash, keyId, sender.source)?.then(() => {
      if (this.#isClosed) return;
      const answer = this.#answer(datagram, sender);
      if (isMiss(datagram, answer)) misses.isStillMissing(hash);
      this.#send(answer, sender);
    });
  }

  #answer(datagram: Uint8Array, { source }: Sender): Response {
    this.#named = [];
    this.#usedKey = undefined;
    return respond(datagram, source, this.#tables, Math.floor(this.#options.runtime.monotonicMs()));
  }

  #send({ verdict, reply }: Response, sender: Sender): void {
    this.#verdicts[verdict] = (this.#verdicts[verdict] as number) + 1;
    const { tables } = this.#options;
    for (const id of this.#named) tables.countAnswer?.(id);
    if (this.#usedKey !== undefined) tables.countKeyUse?.(this.#usedKey);
    if (reply !== undefined) sender.reply(reply);
  }
}

/** Whether it got as far as step 7 of docs/protocol.md, "What a gateway does with a packet, in this order". */
function isTagChecked({ verdict, reply }: Response): boolean {
  return reply !== undefined || verdict === Verdict.DROP_TAG;
}

/** Whether a LOOKUP, and no other request, has found no record. */
function isMiss(datagram: Uint8Array, { verdict }: Response): boolean {
  const isNone = verdict === Verdict.REPLY_PLACED || verdict === Verdict.REPLY_NOT_FOUND;
  return isNone && datagram[wireHeaderLayout.offset.type] === RequestType.LOOKUP;
}
