/**
 * What answers, as the daemon sees it: the XDP program with its maps (kernel/datapath.ts), or tables in this process
 * (responder/memory-datapath.ts). May be imported by src/gateway only.
 */
import type { SessionTable } from '../sync/table.ts';
import type { KeyTable } from './ports.ts';
import type { Network } from './responder/allow-list.ts';
import type { AnswerTables } from './responder/responder.ts';
import type { KernelView } from './running-gateway.ts';

/** What requests are checked by. */
export interface RequestRules {
  /** Networks that may ask; empty = anyone. */
  readonly allowed: readonly Network[];
  readonly port: number;
  readonly maxSkewMs: number;
  readonly staleAfterMs: number;
  /** Requests outside the skew that are looked at, a second (and CPU). */
  readonly skewBudget: number;
}

export interface ServingSide extends KeyTable, KernelView {
  /** Whether the tables, and what they hold, are an earlier daemon's. */
  readonly adopted: boolean;
  readonly table: SessionTable & KernelView['table'];
  /** What the responder answers from: the same tables. */
  readonly tables: AnswerTables;
  readonly sweeper: KernelView['sweeper'] & {
    start(now: () => number, clockWentBack: () => void): void;
    stop(): void;
  };
  /** Unix time less the monotonic clock, ms. */
  setClockOffset(ms: number): void;
  configure(rules: RequestRules): void;
  /** Answers on exactly these addresses from now on, of 16 bytes each. */
  setAddresses(addresses: readonly Uint8Array[]): void;
  /** To be called when the keys have changed. */
  withdrawKeys(): void;
  /** @param configure writes keys, addresses and settings, before anything is answered by them */
  attach(interfaces: readonly string[], configure: () => void): void;
  reattach(interfaces: readonly string[]): { back: string[]; away: { name: string; reason: string }[] };
  /** Misses are handed up to this process for a second from then on; 0 = no longer. @param monotonicMs now, whole milliseconds */
  sayThatMissesAreAsked(monotonicMs: number): void;
  /** To be called when the first load is in. */
  takeOver(): void;
  /** Ends a start that failed. */
  abandon(): void;
  close(): void;
}
