/**
 * What the daemon does once a second: keeps the kernel's clock, follows the interfaces and their addresses, and
 * completes the take-over of an earlier program. A step that fails is told and tried again the next time; the others go
 * on. May be imported by src/gateway only.
 */
import { Limit } from '../abi.ts';
import { addressText } from './addresses.ts';
import { reasonOf } from './errors.ts';
import type { Logger } from './log.ts';

const EVERY_MS = 1_000;
/** Most addresses that one line of the log names. */
const LOGGED_MAX = 20;
/** By how much the offset between the clocks changes in a second when it is told as a step; a clock that is slewed moves less. */
const STEP_MS = 100;
/** Readings of both clocks, of which the one is taken in which least time went by. */
const CLOCK_READINGS = 5;
const READING_GOOD_MS = 0.05;

/** What is looked after; the kernel side and the sync. */
export interface Kept {
  /** Unix time less the monotonic clock, ms: the kernel reads expiry and skew by it. */
  setClockOffset(ms: number): void;
  /** 16 bytes each, of the interfaces that are served. */
  addresses(): Uint8Array[];
  setAddresses(addresses: readonly Uint8Array[]): void;
  /** Attaches again to interfaces that went and came back: `back`; what could not be attached to is `away`. */
  reattach(): { readonly back: readonly string[]; readonly away: readonly { name: string; reason: string }[] };
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
  #offsetMs: number | undefined;
  #tookOver = false;
  /** What each step that fails failed with, so that it is logged once. */
  readonly #failures = new Map<string, string>();
  /** Why the program is not on an interface, likewise. */
  readonly #away = new Map<string, string>();

  constructor(kept: Kept, clocks: Clocks, log: Logger) {
    this.#kept = kept;
    this.#clocks = clocks;
    this.#log = log;
  }

  /** Addresses that are answered on, as text. */
  get addresses(): readonly string[] {
    return this.#addresses ?? [];
  }

  /** The first round, before anything is answered. @throws what a step throws */
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
    this.#step('clock', () => this.#keepClock());
    this.#step('interfaces', () => this.#reattach());
    this.#step('addresses', () => this.#followAddresses());
    this.#step('take-over', () => this.#takeOver());
  }

  #step(step: string, action: () => void): void {
    try {
      action();
      this.#failures.delete(step);
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#failures.get(step) === reason) return;
      this.#failures.set(step, reason);
      this.#log.error({ step, err: error }, 'a part of the upkeep failed: it is tried again every second');
    }
  }

  #keepClock(): void {
    const offsetMs = this.#readOffset();
    this.#kept.setClockOffset(offsetMs);
    const byMs = offsetMs - (this.#offsetMs ?? offsetMs);
    this.#offsetMs = offsetMs;
    if (Math.abs(byMs) >= STEP_MS)
      this.#log.warn({ byMs }, 'the system clock was set, or the machine slept: expiry and skew follow');
  }

  /** A pause between the two readings would pass for a difference of the clocks. */
  #readOffset(): number {
    let best = { tookMs: Number.POSITIVE_INFINITY, offsetMs: 0 };
    for (let i = 0; i < CLOCK_READINGS && best.tookMs > READING_GOOD_MS; i++) {
      const beforeMs = this.#clocks.monotonicMs();
      const wallMs = this.#clocks.wallMs();
      const afterMs = this.#clocks.monotonicMs();
      const tookMs = afterMs - beforeMs;
      if (tookMs < best.tookMs) best = { tookMs, offsetMs: Math.round(wallMs - (beforeMs + afterMs) / 2) };
    }
    return best.offsetMs;
  }

  #reattach(): void {
    const { back, away } = this.#kept.reattach();
    for (const name of back) {
      this.#away.delete(name);
      this.#log.warn({ interface: name }, 'attached again');
    }
    for (const { name, reason } of away) {
      if (this.#away.get(name) === reason) continue;
      this.#away.set(name, reason);
      this.#log.error({ interface: name, reason }, 'nothing is answered on this interface: it is tried every second');
    }
  }

  #followAddresses(): void {
    const found = this.#kept.addresses();
    const addresses = found.slice(0, Limit.ADDRESSES);
    const texts = addresses.map(addressText).sort();
    if (texts.join() === this.#addresses?.join()) return;
    this.#kept.setAddresses(addresses);
    this.#addresses = texts;
    if (texts.length === 0)
      this.#log.warn(
        'the interfaces have no address: nothing is answered; those of a bond, bridge or VLAN above are to be named in listen.addresses',
      );
    else this.#log.info({ addresses: texts.slice(0, LOGGED_MAX) }, 'answering on');
    const left = found.length - addresses.length;
    if (left > 0) this.#log.warn({ left }, `more than ${Limit.ADDRESSES} addresses: the rest is not answered on`);
  }

  #takeOver(): void {
    // An interface may be away for a moment: the earlier program answers on the others meanwhile.
    if (this.#tookOver || !this.#kept.isReady()) return;
    this.#kept.takeOver();
    this.#tookOver = true;
  }
}
