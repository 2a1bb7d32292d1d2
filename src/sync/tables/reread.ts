/**
 * Something that is read again whenever it changed: one reading at a time, and one for all that asked before it began.
 * May be imported by src/sync only.
 */

export class Reread {
  readonly #read: () => Promise<boolean>;
  /** How often it was asked for, and how many of those a reading has met that began later. */
  #wanted = 0;
  #met = 0;
  #running = false;
  #waiting: { readonly wanted: number; readonly resolve: () => void }[] = [];

  /** @param read never throws; returns false where it could not: it is tried again when it is asked for again */
  constructor(read: () => Promise<boolean>) {
    this.#read = read;
  }

  want(): void {
    this.#wanted += 1;
    if (!this.#running) void this.#run();
  }

  /** The last reading could not be carried out. */
  get failed(): boolean {
    return !this.#running && this.#met < this.#wanted;
  }

  /** Resolves once a reading has ended that began after all that was asked for before this call. @returns whether there was one */
  async caughtUp(): Promise<boolean> {
    const wanted = this.#wanted;
    if (this.#met < wanted && this.#running) {
      await new Promise<void>((resolve) => {
        this.#waiting.push({ wanted, resolve });
      });
    }
    return this.#met >= wanted;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#met < this.#wanted) {
      const wanted = this.#wanted;
      if (!(await this.#read())) break;
      this.#met = wanted;
      this.#release();
    }
    this.#running = false;
    this.#release();
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ wanted }) => this.#running && this.#met < wanted);
    for (const one of waiting) if (!this.#waiting.includes(one)) one.resolve();
  }
}
