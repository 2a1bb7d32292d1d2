/**
 * Random choices that a seed repeats: sfc32, "small fast counter" of Chris Doty-Humphrey's PractRand. Fast, and far
 * longer than any run; not for secrets.
 */
export class Choices {
  #a: number;
  #b = 0x9e37_79b9;
  #c = 0x243f_6a88;
  #counter = 1;

  /** @param seed an integer; its low 32 bits count */
  constructor(seed: number) {
    this.#a = seed | 0;
    for (let i = 0; i < 12; i++) this.#next();
  }

  #next(): number {
    const out = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + out) | 0;
    return out >>> 0;
  }

  /** 0 to `end` - 1, evenly enough for tests; `end` at most 2^32. */
  below(end: number): number {
    return Math.floor((this.#next() / 2 ** 32) * end);
  }

  byte(): number {
    return this.#next() & 0xff;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.byte();
    return bytes;
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  of<const T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  /** `least` to `most` elements. */
  list<T>(least: number, most: number, element: () => T): T[] {
    return Array.from({ length: least + this.below(most - least + 1) }, element);
  }
}
