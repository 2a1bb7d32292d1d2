/**
 * Who may use the control API over TCP: who has the token. Wrong tokens are counted by source and over all, and a source
 * that has used up its share is not listened to for a while. May be imported by src/gateway only.
 *
 *     every source:      a bucket of 10 wrong tokens, one more each second
 *     all sources alike: a bucket of 100, ten more each second; it doesn't bind a source that had the right token lately
 *
 * So nobody guesses faster than that, and who has the token isn't kept out by strangers' failures, unless they come from
 * the same address.
 */
import ipaddr from 'ipaddr.js';
import type { Token } from './token.ts';

/** Wrong tokens at once, and how many more each second. */
interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

const OF_SOURCE: Rate = { burst: 10, perSecond: 1 };
const OF_ALL: Rate = { burst: 100, perSecond: 10 };
/** Sources remembered; the one heard of longest ago makes room. With OF_ALL no stranger fills this within a minute. */
const SOURCES_MAX = 1024;
/** How long a source counts as one that has the token, ms: longer than a scraper pauses. */
const TRUSTED_MS = 10 * 60_000;
/** Of an IPv6 address these bits count: whoever has one address has the whole network. */
const IPV6_PREFIX_BYTES = 8;

export type Verdict =
  | { readonly admitted: true }
  | { readonly admitted: false; readonly reason: 'no-token' | 'wrong-token' }
  /** Not even compared. */
  | { readonly admitted: false; readonly reason: 'too-many'; readonly retryAfterSeconds: number };

/** Decides who is let in. */
export interface Judge {
  /**
   * @param authorization the header field's value
   * @param address where the connection comes from
   */
  judge(authorization: string | undefined, address: string): Verdict;
}

/** Lets in who has the token and counts nothing: for one that is too long to be guessed, so that nobody's failures keep out another of the same address. */
export function withoutLimit(token: Token): Judge {
  return {
    judge(authorization) {
      const given = bearerToken(authorization);
      if (given === undefined) return { admitted: false, reason: 'no-token' };
      return token.matches(given) ? { admitted: true } : { admitted: false, reason: 'wrong-token' };
    },
  };
}

interface Source {
  readonly wrong: Bucket;
  trustedUntilMs: number;
}

export class Admission implements Judge {
  #token: Token;
  readonly #nowMs: () => number;
  readonly #sources = new Map<string, Source>();
  readonly #all: Bucket;
  readonly #replaced = new Set<() => void>();

  /** @param nowMs monotonic */
  constructor(token: Token, nowMs: () => number) {
    this.#token = token;
    this.#nowMs = nowMs;
    this.#all = new Bucket(OF_ALL, nowMs());
  }

  /** From now on this is the token. */
  replace(token: Token): void {
    const isAnother = !token.equals(this.#token);
    this.#token = token;
    if (isAnother) for (const each of this.#replaced) each();
  }

  /** @param listener told when who had the token has it no longer */
  onReplaced(listener: () => void): void {
    this.#replaced.add(listener);
  }

  /** Sources remembered. */
  get size(): number {
    return this.#sources.size;
  }

  judge(authorization: string | undefined, address: string): Verdict {
    const token = bearerToken(authorization);
    if (token === undefined) return { admitted: false, reason: 'no-token' };
    const nowMs = this.#nowMs();
    const name = sourceOf(address);
    const known = this.#sources.get(name);
    const waitMs = this.#waitMs(known, nowMs);
    if (waitMs > 0) {
      return { admitted: false, reason: 'too-many', retryAfterSeconds: Math.ceil(waitMs / 1000) };
    }
    const source = known ?? { wrong: new Bucket(OF_SOURCE, nowMs), trustedUntilMs: Number.NEGATIVE_INFINITY };
    this.#remember(name, source);
    if (this.#token.matches(token)) {
      source.trustedUntilMs = nowMs + TRUSTED_MS;
      return { admitted: true };
    }
    source.wrong.take(nowMs);
    this.#all.take(nowMs);
    return { admitted: false, reason: 'wrong-token' };
  }

  #waitMs(source: Source | undefined, nowMs: number): number {
    const own = source?.wrong.waitMs(nowMs) ?? 0;
    const trusted = source !== undefined && source.trustedUntilMs > nowMs;
    return trusted ? own : Math.max(own, this.#all.waitMs(nowMs));
  }

  /** Puts it last in the order of who was heard of. */
  #remember(name: string, source: Source): void {
    this.#sources.delete(name);
    if (this.#sources.size >= SOURCES_MAX) {
      const [first] = this.#sources.keys();
      if (first !== undefined) this.#sources.delete(first);
    }
    this.#sources.set(name, source);
  }
}

/** The token of a header field "Bearer TOKEN"; the scheme's name in upper or lower case (RFC 9110, section 11.1). */
function bearerToken(authorization: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
}

function sourceOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  return parsed.kind() === 'ipv4' ? parsed.toString() : parsed.toByteArray().slice(0, IPV6_PREFIX_BYTES).join('.');
}

/** How much is left of a rate. */
class Bucket {
  readonly #rate: Rate;
  #left: number;
  #atMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#atMs = nowMs;
  }

  take(nowMs: number): void {
    this.#refill(nowMs);
    this.#left -= 1;
  }

  /** How long until there is one to take, ms; 0 = now. */
  waitMs(nowMs: number): number {
    this.#refill(nowMs);
    return this.#left >= 1 ? 0 : ((1 - this.#left) / this.#rate.perSecond) * 1000;
  }

  #refill(nowMs: number): void {
    const { burst, perSecond } = this.#rate;
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#atMs) / 1000) * perSecond);
    this.#atMs = nowMs;
  }
}
