/**
 * How many requests outside the allowed skew are looked at each second (docs/protocol.md, "What a gateway does with a packet",
 * step 6). May be imported by every floor above.
 */
import { requireInteger } from './bytes.ts';

/** Counts anew with every full second of the clock, as struct skew_budget in bpf/abi.h does for one CPU. */
export class SkewBudget {
  readonly #perSecond: number;
  #second = -1;
  #spent = 0;

  /** @param perSecond 0 to 4294967295; 0 = none is looked at */
  constructor(perSecond: number) {
    requireInteger('perSecond', perSecond, 0, 0xffff_ffff);
    this.#perSecond = perSecond;
  }

  /** Whether one more is allowed at this Unix time in ms; it is then spent. */
  spend(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#spent = 0;
    }
    if (this.#spent >= this.#perSecond) return false;
    this.#spent += 1;
    return true;
  }
}
