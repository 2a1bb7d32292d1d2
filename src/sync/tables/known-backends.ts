/**
 * The backends that are known now, by the bytes of their names, and the names that sessions refer to
 * but that are not known. May be imported by src/sync only.
 */
import type { Backend } from '../table.ts';

/** Unknown names that are told apart; sessions of further ones are counted together. */
export const UNKNOWN_NAMES_MAX = 100;

/** Names whose last id is remembered: there are as many ids, and none goes to another name. */
const NAMES_MAX = 65_535;

export interface UnknownBackend {
  /** Bytes that are not UTF-8 are replaced. */
  readonly name: string;
  /** Records and feed entries that named it since the last resync began. */
  readonly records: number;
}

export class KnownBackends {
  /** Keys are the names' bytes as Latin-1: one character a byte. */
  #ids = new Map<string, number>();
  readonly #unknown = new Map<string, number>();
  #otherUnknown = 0;
  /** Every name that an id has stood for while sessions were stored under it, and the id that a name had last. */
  readonly #nameOfId = new Map<number, string>();
  readonly #lastId = new Map<string, number>();
  #byName: ReadonlyMap<string, Backend> = new Map();

  /** @param bytes in which the name has the `length` bytes at `start` @returns the id, or 0 where the name is unknown, which is noted */
  idOf(bytes: Buffer, start = 0, length = bytes.length): number {
    const key = bytes.toString('latin1', start, start + length);
    const id = this.#ids.get(key);
    if (id !== undefined) return id;
    const records = this.#unknown.get(key);
    if (records !== undefined) this.#unknown.set(key, records + 1);
    else if (this.#unknown.size < UNKNOWN_NAMES_MAX) this.#unknown.set(key, 1);
    else this.#otherUnknown += 1;
    return 0;
  }

  /**
   * @returns whether sessions that are stored already are wrong now: they named a backend that was unknown, or
   * are stored under an id that stands for another name
   */
  replace(backends: readonly Backend[]): boolean {
    const previous = this.#ids;
    this.#ids = new Map();
    this.#byName = new Map(backends.map((backend) => [backend.name, backend]));
    let outdated = false;
    for (const { name, id } of backends) {
      const key = Buffer.from(name, 'utf8').toString('latin1');
      this.#ids.set(key, id);
      if (this.#unknown.delete(key) || (this.#otherUnknown > 0 && !previous.has(key))) outdated = true;
      const formerId = this.#lastId.get(key);
      if (formerId !== undefined && formerId !== id) outdated = true;
      const formerName = this.#nameOfId.get(id);
      if (formerName !== undefined && formerName !== key) outdated = true;
      this.#nameOfId.set(id, key);
      this.#remember(key, id);
    }
    return outdated;
  }

  /** The names that were longest away are forgotten first. */
  #remember(key: string, id: number): void {
    this.#lastId.delete(key);
    this.#lastId.set(key, id);
    if (this.#lastId.size <= NAMES_MAX) return;
    for (const oldest of this.#lastId.keys()) {
      this.#lastId.delete(oldest);
      break;
    }
  }

  /** A new generation begins: what earlier records named does not matter any more. */
  forgetUnknown(): void {
    this.#unknown.clear();
    this.#otherUnknown = 0;
  }

  get byName(): ReadonlyMap<string, Backend> {
    return this.#byName;
  }

  /** The unknown names, most often named first; those that are not told apart are not among them. */
  unknown(): UnknownBackend[] {
    return [...this.#unknown]
      .map(([key, records]) => ({ name: Buffer.from(key, 'latin1').toString('utf8'), records }))
      .sort((a, b) => b.records - a.records);
  }
}
