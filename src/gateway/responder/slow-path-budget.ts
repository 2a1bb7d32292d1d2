/**
 * How much the responder does a second beside an XDP program, which answers nearly all there is. May be imported by src/gateway only.
 *
 * It is spent by requests whose tag is checked, and by no others: to turn a forged one away costs next to nothing beside its way through
 * the socket, which no limit here saves. So whoever forges takes nothing from who asks.
 */
export class SlowPathBudget {
  readonly #perSecond: number;
  #second = -1;
  #checked = 0;
  /** The last second that was too much. */
  #overrunSecond = Number.NEGATIVE_INFINITY;
  #unread = 0;

  /** @param perSecond requests whose tag is checked, a second */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** To be called with each datagram, at this monotonic time. @returns whether it may be looked at */
  receive(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#checked = 0;
    }
    if (this.#checked < this.#perSecond) return true;
    this.#unread += 1;
    this.#overrunSecond = second;
    return false;
  }

  /** The tag of the one that came last was checked. */
  spend(): void {
    this.#checked += 1;
  }

  /** Datagrams that were not looked at, since the start. */
  get unread(): number {
    return this.#unread;
  }

  /** Whether this second or the one before was too much: what is sent here may get no answer. */
  isOverrun(nowMs: number): boolean {
    return Math.floor(nowMs / 1000) - this.#overrunSecond <= 1;
  }
}
