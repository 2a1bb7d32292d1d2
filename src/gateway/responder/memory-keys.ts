/**
 * What each key id ever stood for, where no kernel keeps that: for as long as this process lives. The keys in force are those of the
 * keyring itself, which the responder asks. May be imported by src/gateway only.
 */
import type { Key as KernelKey } from '../../abi.ts';
import { Limit } from '../../abi.ts';
import type { KeyTable } from '../ports.ts';

export class MemoryKeys implements KeyTable {
  /** By key id: no more of them than in the history. */
  readonly #uses = new Map<number, number>();
  readonly #fingerprints = new Map<number, Uint8Array>();

  keyIds(): number[] {
    return [];
  }

  key(_id: number): KernelKey | undefined {
    return undefined;
  }

  putKey(_id: number, _key: KernelKey): void {}

  removeKey(_id: number): void {}

  keyFingerprint(id: number): Uint8Array | undefined {
    return this.#fingerprints.get(id);
  }

  rememberKey(id: number, fingerprint: Uint8Array): void {
    if (this.#fingerprints.size >= Limit.KEY_HISTORY) {
      throw new RangeError(`key ids: found ${Limit.KEY_HISTORY} that were used; start the daemon anew to forget them`);
    }
    this.#fingerprints.set(id, fingerprint);
  }

  countKeyUse(id: number): void {
    this.#uses.set(id, this.keyUses(id) + 1);
  }

  /** Authentic requests. */
  keyUses(id: number): number {
    return this.#uses.get(id) ?? 0;
  }

  forgetKey(id: number): void {
    this.#fingerprints.delete(id);
  }
}
