/**
 * Which requests the comparison sends. May be imported by bench only.
 */
import { randomBytes } from 'node:crypto';
import { sipHash64 } from '../../src/auth/siphash.ts';
import { changed, type Expected, type FrameSet, framesOf, signedFrames, type Target } from '../traffic/frames.ts';
import {
  askedSession,
  type BenchKey,
  backends,
  hitOf,
  missHash,
  missOf,
  ringOf,
  sessionHash,
} from '../traffic/world.ts';

export interface QuestionOrder {
  readonly target: Target;
  readonly keys: readonly BenchKey[];
  /** Frames. */
  readonly count: number;
  readonly sessions: number;
  readonly backends: number;
  readonly batch?: number;
  /** Unix ms that the requests bear; now where it is left out. */
  readonly timeMs?: number;
}

/** Sessions that are held, in an order without a pattern. */
export function hits(order: QuestionOrder): FrameSet {
  const session = (n: number): number => askedSession(n, order.sessions);
  return questions(
    order,
    (n) => sessionHash(session(n)),
    (n) => hitOf(session(n), order.backends),
  );
}

/** Sessions that nobody holds. */
export function misses(order: QuestionOrder): FrameSet {
  const ring = ringOf(backends(order.backends));
  return questions(order, missHash, (n) => missOf(missHash(n), ring));
}

function questions(
  { target, keys, count, batch = 1, timeMs = Date.now() }: QuestionOrder,
  hash: (n: number) => Uint8Array,
  expected: (n: number) => Expected,
): FrameSet {
  const name = batch === 1 ? 'LOOKUP' : `BATCH of ${batch}`;
  const signers = keys.map(({ key }) => key);
  return signedFrames({ name, count, target, keys: signers, timeMs, batch, hash, expected });
}

/** The guard is wrong: what anybody can send. */
export function forgedGuards(set: FrameSet): FrameSet {
  return changed(set, 'wrong guard', (payload) => payload.set(randomBytes(8), 56));
}

/** The guard is right and the tag is not: what takes the key. */
export function forgedTags(set: FrameSet, { key }: BenchKey): FrameSet {
  return changed(set, 'right guard, wrong tag', (payload) => {
    payload[40] = (payload[40] as number) ^ 1;
    payload.set(sipHash64(key.guardKey, payload.subarray(0, 56)), 56);
  });
}

/** memcached's own protocol over UDP: "get" with its frame header, of names of one length. */
export function memcachedGets(target: Target, count: number, sessions: number): FrameSet {
  const shortest = 10 ** Math.floor(Math.log10(sessions - 1));
  const session = (n: number): number => shortest + askedSession(n, sessions - shortest);
  const payload = (n: number): Uint8Array => {
    const text = Buffer.from(`12345678get session-${session(n)}\r\n`);
    text.writeUInt16BE(n % 65_536, 0);
    text.writeUInt16BE(0, 2);
    text.writeUInt16BE(1, 4);
    text.writeUInt16BE(0, 6);
    return text;
  };
  const problemOf = (answer: Uint8Array): string | undefined => {
    const found = /^VALUE session-(\d+) 0 (\d+)\r\n(.*)\r\nEND\r\n$/.exec(Buffer.from(answer.subarray(8)).toString());
    return found !== null && found[3] === storedValue(Number(found[1])) ? undefined : 'not the value that is stored';
  };
  return framesOf({ name: 'get', count, target, payload, problemOf });
}

/** What the stores hold for a session; bench/client/protocols.h expects it. */
export function storedValue(session: number): string {
  return `app-${(session % 100) + 1}`;
}
