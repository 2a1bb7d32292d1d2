/**
 * Answers requests that come through the host's sockets: all of them where there is no XDP program, and those that the program
 * leaves to the host where there is one. What it says is src/auth/respond.ts, which the program is tested against byte
 * for byte. May be imported by src/gateway only.
 */
import { Verdict } from '../../abi.ts';
import type { Key } from '../../auth/keyring.ts';
import { respond } from '../../auth/respond.ts';
import type { ResponderTables } from '../../auth/responder-tables.ts';
import { SkewBudget } from '../../auth/skew-budget.ts';
import type { Runtime } from '../../sync/runtime.ts';
import type { VerdictName } from '../ports.ts';
import type { AllowList } from './allow-list.ts';
import type { Sender } from './datagram-sockets.ts';

/** What the answers are made from; the rest of ResponderTables is the responder's own. */
export type AnswerTables = Omit<ResponderTables, 'allows' | 'key' | 'spendSkewBudget'>;

export interface ResponderOptions {
  readonly tables: AnswerTables;
  /** The key in force under an id. */
  readonly key: (id: number) => Key | undefined;
  readonly allowList: AllowList;
  /** Requests outside the skew that are looked at, a second. */
  readonly skewBudget: number;
  /** Datagrams that are looked at, a second; null = all. */
  readonly perSecond: number | null;
  readonly runtime: Pick<Runtime, 'monotonicMs'>;
}

export class Responder {
  readonly #options: ResponderOptions;
  readonly #tables: ResponderTables;
  readonly #verdicts = new Float64Array(Verdict.COUNT);
  #second = -1;
  #spent = 0;
  #unread = 0;

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
      countAnswer: (id) => tables.countAnswer?.(id),
      countKeyUse: (id) => tables.countKeyUse?.(id),
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

  /** Datagrams that were not looked at, since there were too many. */
  get unread(): number {
    return this.#unread;
  }

  /** To be called with each datagram. */
  receive(datagram: Uint8Array, { source, reply }: Sender): void {
    const nowMs = this.#options.runtime.monotonicMs();
    if (!this.#mayRead(nowMs)) return;
    const answer = respond(datagram, source, this.#tables, Math.floor(nowMs));
    this.#verdicts[answer.verdict] = (this.#verdicts[answer.verdict] as number) + 1;
    if (answer.reply !== undefined) reply(answer.reply);
  }

  /** Who floods the host's sockets must not hold up what else this thread does: it follows Redis, too. */
  #mayRead(nowMs: number): boolean {
    const { perSecond } = this.#options;
    if (perSecond === null) return true;
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#spent = 0;
    }
    this.#spent += 1;
    if (this.#spent <= perSecond) return true;
    this.#unread += 1;
    return false;
  }
}
