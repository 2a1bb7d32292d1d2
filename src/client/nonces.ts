/**
 * Nonces, 8 random bytes for each try (docs/protocol.md, "Header"), drawn from the random source many at a time: a call
 * for each would cost as much as the rest of a request. May be imported by src/client.
 */
import { NONCE_SIZE } from '../auth/header.ts';
import type { Environment } from './environment.ts';

const NONCES_PER_DRAW = 512;

export class NonceSource {
  readonly #environment: Environment;
  readonly #pool = new Uint8Array(NONCES_PER_DRAW * NONCE_SIZE);
  #at = this.#pool.length;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** A nonce in an array of its own. */
  next(): Uint8Array {
    if (this.#at === this.#pool.length) {
      this.#environment.fillRandom(this.#pool);
      this.#at = 0;
    }
    const from = this.#at;
    this.#at += NONCE_SIZE;
    return this.#pool.slice(from, this.#at);
  }
}
