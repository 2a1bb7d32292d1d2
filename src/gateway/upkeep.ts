/**
 * What the daemon does once a second: keeps the kernel's clock, follows the interfaces and their addresses, and completes
 * the take-over of an earlier program. May be imported by src/gateway only.
 */
import { Limit } from '../abi.ts';
import { addressText } from './addresses.ts';
import { reasonOf } from './errors.ts';
import type { Logger } from './log.ts';

const EVERY_MS = 1_000;
/** Most addresses that one line of the log names. */
const LOGGED_MAX = 20;

/** What is looked after; the kernel side and the sync. */
export interface Kept {
  /** Unix time less the monotonic clock, ms: the kernel reads expiry and skew by it. */
  setClockOffset(ms: number): void;
  /** 16 bytes each, of the interfaces that are served. */
  addresses(): Uint8Array[];
  setAddresses(addresses: readonly Uint8Array[]): void;
  /** Attaches again to interfaces that went and came back; returns their names. */
  reattach(): string[];
  isReady(): boolean;
  /** The first load is in: the program goes in the place of an earlier one of another layout. */
  takeOver(): void;
}

export interface Clocks {
  /** Unix time, ms. */
  wallMs(): number;
  /** The monotonic clock that the kernel has too (CLOCK_MONOTONIC), ms. */
  monotonicMs(): number;
}

export class Upkeep {
  readonly #kept: Kept;
  readonly #clocks: Clocks;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #addresses: readonly string[] | undefined;
  #tookOver = false;
  /** The last failure of a take-over, so that it is logged once. */
  #failure: string | undefined;

  constructor(kept: Kept, clocks: Clocks, log: Logger) {
    this.#kept = kept;
    this.#clocks = clocks;
    this.#log = log;
  }

  /** Addresses that are answered on, as text. */
  get addresses(): readonly string[] {
    return this.#addresses ?? [];
  }

  /** The first round, before anything is answered. */
  begin(): void {
    this.#keepClock();
    this.#followAddresses();
  }

  start(): void {
    this.#timer = setInterval(() => this.round(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  round(): void {
    this.#keepClock();
    for (const name of this.#kept.reattach()) this.#log.warn({ interface: name }, 'attached again');
    this.#followAddresses();
    if (!this.#tookOver && this.#kept.isReady()) this.#takeOver();
  }

  #keepClock(): void {
    this.#kept.setClockOffset(Math.round(this.#clocks.wallMs() - this.#clocks.monotonicMs()));
  }

  #followAddresses(): void {
    const found = this.#kept.addresses();
    const addresses = found.slice(0, Limit.ADDRESSES);
    const texts = addresses.map(addressText).sort();
    if (texts.join() === this.#addresses?.join()) return;
    this.#kept.setAddresses(addresses);
    this.#addresses = texts;
    if (texts.length === 0) this.#log.warn('the interfaces have no address: nothing is answered');
    else this.#log.info({ addresses: texts.slice(0, LOGGED_MAX) }, 'answering on');
    const left = found.length - addresses.length;
    if (left > 0) this.#log.warn({ left }, `more than ${Limit.ADDRESSES} addresses: the rest is not answered on`);
  }

  #takeOver(): void {
    try {
      this.#kept.takeOver();
      this.#tookOver = true;
    } catch (error) {
      // An interface may be away for a moment: the next round tries again, and the earlier program answers meanwhile.
      if (this.#failure !== reasonOf(error))
        this.#log.error({ err: error }, 'the earlier program could not be replaced');
      this.#failure = reasonOf(error);
    }
  }
}
