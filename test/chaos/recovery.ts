/** From which moment on the gateway can be in step again: what it says as of earlier is no answer to the fault. */

export class Recovery {
  readonly #nowMs: () => number;
  #sinceMs: number | undefined;

  /** @param nowMs monotonic */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Another fault begins: the moment of the one before it was before its harm. */
  begin(): void {
    this.#sinceMs = undefined;
  }

  /** To be called by a fault at that moment; without a call it is the fault's end. */
  over(): void {
    this.#sinceMs = this.#nowMs();
  }

  /** To be called at the fault's end. @returns ms of the monotonic clock */
  sinceMs(): number {
    return this.#sinceMs ?? this.#nowMs();
  }
}
