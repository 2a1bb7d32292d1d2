/**
 * Which sources may ask (listen.allow), as the trie in the kernel says it (bpf/maps.h, allowed_networks). May be imported
 * by src/gateway only.
 */

/** An IP network as 16 bytes and a prefix length of 0 to 128; IPv4 counts from bit 96. */
export interface Network {
  readonly bytes: Uint8Array;
  readonly prefixLength: number;
}

export class AllowList {
  /** By prefix length, the networks' addresses as one character a byte. */
  readonly #networks = new Map<number, Set<string>>();

  /** @param networks empty = anyone may ask */
  constructor(networks: readonly Network[]) {
    for (const { bytes, prefixLength } of networks) {
      const ofLength = this.#networks.get(prefixLength) ?? new Set();
      this.#networks.set(prefixLength, ofLength.add(masked(bytes, prefixLength)));
    }
  }

  /** @param source 16 bytes */
  allows(source: Uint8Array): boolean {
    if (this.#networks.size === 0) return true;
    for (const [prefixLength, networks] of this.#networks) if (networks.has(masked(source, prefixLength))) return true;
    return false;
  }
}

function masked(address: Uint8Array, prefixLength: number): string {
  const bytes = Buffer.from(address);
  const whole = prefixLength >> 3;
  if (whole < 16) {
    bytes[whole] = (bytes[whole] as number) & (0xff00 >> (prefixLength & 7));
    bytes.fill(0, whole + 1);
  }
  return bytes.toString('latin1');
}
