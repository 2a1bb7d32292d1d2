/**
 * Map `settings`, in the daemon's own memory: each field is written by one store, which the program sees
 * at the next packet.
 */
import { settingsLayout } from '../../abi.ts';
import { SharedMemory } from './libc.ts';

/** Two readings of the exact clock, for one packet in 64, are less than a nanosecond on each. */
export const TIMED_ONE_IN = 64;

const at = settingsLayout.offset;

export class Settings {
  readonly #memory: SharedMemory;
  readonly #words: Uint32Array;
  readonly #doubles: BigUint64Array;

  constructor(fd: number) {
    this.#memory = new SharedMemory(fd, settingsLayout.size);
    this.#words = new Uint32Array(this.#memory.buffer);
    this.#doubles = new BigUint64Array(this.#memory.buffer);
  }

  #word(offset: number): number {
    return this.#words[offset / 4] ?? 0;
  }

  #double(offset: number): number {
    return Number(BigInt.asIntN(64, this.#doubles[offset / 8] ?? 0n));
  }

  #setDouble(offset: number, value: number): void {
    this.#doubles[offset / 8] = BigInt(Math.round(value));
  }

  get inStepMs(): number {
    return this.#double(at.inStepMs);
  }
  set inStepMs(value: number) {
    this.#setDouble(at.inStepMs, value);
  }

  get staleAfterMs(): number {
    return this.#double(at.staleAfterMs);
  }
  set staleAfterMs(value: number) {
    this.#setDouble(at.staleAfterMs, value);
  }

  get maxSkewMs(): number {
    return this.#double(at.maxSkewMs);
  }
  set maxSkewMs(value: number) {
    this.#setDouble(at.maxSkewMs, value);
  }

  set skewBudget(value: number) {
    this.#words[at.skewBudget / 4] = value;
  }

  get generation(): number {
    return this.#word(at.generation);
  }
  set generation(value: number) {
    this.#words[at.generation / 4] = value;
  }

  get newestGeneration(): number {
    return this.#word(at.newestGeneration);
  }
  set newestGeneration(value: number) {
    this.#words[at.newestGeneration / 4] = value;
  }

  get deniedGeneration(): number {
    return this.#word(at.deniedGeneration);
  }
  set deniedGeneration(value: number) {
    this.#words[at.deniedGeneration / 4] = value;
  }

  get newestDeniedGeneration(): number {
    return this.#word(at.newestDeniedGeneration);
  }
  set newestDeniedGeneration(value: number) {
    this.#words[at.newestDeniedGeneration / 4] = value;
  }

  get factsGeneration(): number {
    return this.#word(at.factsGeneration);
  }
  set factsGeneration(value: number) {
    this.#words[at.factsGeneration / 4] = value;
  }

  get newestFactsGeneration(): number {
    return this.#word(at.newestFactsGeneration);
  }
  set newestFactsGeneration(value: number) {
    this.#words[at.newestFactsGeneration / 4] = value;
  }

  set port(value: number) {
    this.#words[at.port / 4] = value;
  }

  get ready(): boolean {
    return this.#word(at.ready) === 1;
  }
  set ready(value: boolean) {
    this.#words[at.ready / 4] = Number(value);
  }

  set allowList(value: boolean) {
    this.#words[at.allowList / 4] = Number(value);
  }

  /** Of so many packets one is timed; 0 = none, at most 2^31. */
  set timedOneIn(value: number) {
    this.#words[at.timedOneIn / 4] = value;
  }

  get timedOneIn(): number {
    return this.#word(at.timedOneIn);
  }

  set copyLines(value: number) {
    this.#words[at.copyLines / 4] = value;
  }

  get backendsHalf(): 0 | 1 {
    return this.#word(at.backendsHalf) === 1 ? 1 : 0;
  }
  set backendsHalf(value: 0 | 1) {
    // What the half holds was written before: processors that show stores in another order (arm64) keep to this one.
    Atomics.store(this.#words, at.backendsHalf / 4, value);
  }

  close(): void {
    this.#memory.close();
  }
}
