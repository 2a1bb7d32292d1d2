import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Status } from '../../src/abi.ts';
import { openBatchReply, sealBatchReply } from '../../src/auth/batch.ts';
import { openFactReply, sealFactReply } from '../../src/auth/fact.ts';
import { LONGEST } from '../../src/auth/header.ts';
import { openLookupReply, sealLookupReply } from '../../src/auth/lookup.ts';
import { beginReply, type ReplyRefusal, sealReply } from '../../src/auth/reply.ts';
import {
  encodeBatchRequest,
  encodeFactRequest,
  encodeLookupRequest,
  type SentRequest,
} from '../../src/auth/request.ts';
import { authenticOf, flipped, HASH, LOOKUP_ANSWER, NONCE, TIME_MS } from './support/datagrams.ts';
import { makeKey } from './support/keys.ts';
import { hex } from './support/vectors.ts';

describe('openLookupReply', () => {
  const plain = encodeLookupRequest(makeKey(), HASH, TIME_MS, NONCE);
  const secret = encodeLookupRequest(makeKey({ encrypt: true }), HASH, TIME_MS, NONCE);
  const good = sealLookupReply(authenticOf(plain), LOOKUP_ANSWER);

  /** A reply whose tag is right, with bytes of the plain text set. */
  function forged(sent: SentRequest, patches: readonly [number, number][]): Uint8Array {
    const reply = beginReply(authenticOf(sent), TIME_MS);
    for (const [at, value] of patches) reply[at] = value;
    return sealReply(authenticOf(sent), reply);
  }

  it.each<[string, Uint8Array, ReplyRefusal]>([
    ['one byte short', good.subarray(0, 79), 'length'],
    ['one byte long', Uint8Array.of(...good, 0), 'length'],
    ['empty', new Uint8Array(0), 'length'],
    ['of another protocol', flipped(good, 1, 0x01), 'magic'],
    ['of another version', flipped(good, 2, 0x03), 'version'],
    ['a request', flipped(good, 3, 0x80), 'type'],
    ['of another type', flipped(good, 3, 0x02), 'type'],
    ['marked as encrypted', flipped(good, 3, 0x40), 'type'],
    ['under another key', flipped(good, 7, 0x01), 'key_id'],
    ['to another try', flipped(good, 23, 0x01), 'nonce'],
    ['with another clock', flipped(good, 15, 0x01), 'tag'],
    ['with another address', flipped(good, 47, 0x01), 'tag'],
    ['with another tag', flipped(good, 79, 0x01), 'tag'],
    ['with a status that version 1 does not have', forged(plain, [[24, 5]]), 'content'],
    ['with a backend id over 65535', forged(plain, [[29, 1]]), 'content'],
    ['with a clock beyond 2^53', forged(plain, [[8, 1]]), 'content'],
  ])('refuses a datagram that is %s', (_, datagram, reason) => {
    expect(openLookupReply(plain, datagram)).toEqual({ ok: false, reason });
  });

  it('refuses a reply in the clear where it must come encrypted', () => {
    const clear = sealLookupReply({ ...authenticOf(secret), encrypted: false }, LOOKUP_ANSWER);
    expect(openLookupReply(secret, clear)).toEqual({ ok: false, reason: 'type' });
    expect(openLookupReply(secret, flipped(clear, 3, 0x40))).toEqual({ ok: false, reason: 'tag' });
  });

  it('leaves the datagram as it is, a Buffer too, of which slice() is a view', () => {
    const datagram = Buffer.from(sealLookupReply(authenticOf(secret), LOOKUP_ANSWER));
    const before = datagram.toString('hex');
    expect(openLookupReply(secret, datagram).ok).toBe(true);
    expect(datagram.toString('hex')).toBe(before);
  });

  it('refuses the reply to another request, even with the same nonce', () => {
    const other = encodeLookupRequest(makeKey(), flipped(HASH, 0, 1), TIME_MS, NONCE);
    expect(openLookupReply(other, good)).toEqual({ ok: false, reason: 'tag' });
  });

  it('refuses a request that comes back', () => {
    expect(openLookupReply(plain, plain.bytes)).toEqual({ ok: false, reason: 'type' });
  });

  it('encrypts another answer with another key stream', () => {
    const streams = [5n, 6n].map((version) => {
      const answer = { ...LOOKUP_ANSWER, version };
      const clear = sealLookupReply({ ...authenticOf(secret), encrypted: false }, answer);
      const sealed = sealLookupReply(authenticOf(secret), answer);
      return hex(sealed.slice(24, 64).map((byte, i) => byte ^ (clear[24 + i] as number)));
    });
    expect(streams[0]).not.toBe(streams[1]);
    expect(streams[0]).not.toMatch(/^0+$/);
  });
});

describe('openBatchReply', () => {
  const sent = encodeBatchRequest(makeKey(), [HASH, HASH], TIME_MS, NONCE);
  const entry = { status: Status.NOT_FOUND, flags: 0, backendId: 0, ttlS: 0, version: 0n };
  const good = sealBatchReply(authenticOf(sent), { timeMs: TIME_MS, ageMs: LONGEST, entries: [entry, entry] });

  it('refuses bytes after the tag that are not zero', () => {
    expect(openBatchReply(sent, good).ok).toBe(true);
    for (let at = good.length - 8; at < good.length; at++) {
      expect(openBatchReply(sent, flipped(good, at, 1))).toEqual({ ok: false, reason: 'reserved' });
    }
  });

  it.each<[string, number, number]>([
    ['another number of entries', 25, 1],
    ['reserved bytes that are not zero', 27, 1],
    ['a status that version 1 does not have', 48, 9],
  ])('refuses an authentic reply with %s', (_, at, value) => {
    const reply = beginReply(authenticOf(sent), TIME_MS);
    reply[25] = 2;
    reply[at] = value;
    expect(openBatchReply(sent, sealReply(authenticOf(sent), reply))).toEqual({ ok: false, reason: 'content' });
  });
});

describe('openFactReply', () => {
  const sent = encodeFactRequest(makeKey(), HASH, TIME_MS, NONCE);

  it.each<[string, [number, number][]]>([
    ['the status DENIED', [[24, Status.DENIED]]],
    ['a value longer than 24 bytes', [[27, 25]]],
    [
      'bytes after the value that are not zero',
      [
        [27, 2],
        [30, 1],
      ],
    ],
  ])('refuses an authentic reply with %s', (_, patches) => {
    const reply = beginReply(authenticOf(sent), TIME_MS);
    for (const [at, value] of patches) reply[at] = value;
    expect(openFactReply(sent, sealReply(authenticOf(sent), reply))).toEqual({ ok: false, reason: 'content' });
  });
});

describe('every reply', () => {
  const status = fc.constantFrom(...Object.values(Status));
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const flags = fc.integer({ min: 0, max: 255 });
  const timeMs = fc.maxSafeNat();
  const keys = fc.record({
    suite: fc.constantFrom('hmac-sha256' as const, 'blake2s' as const),
    encrypt: fc.boolean(),
    id: fc.integer({ min: 1, max: 0xffff_ffff }),
  });
  const nonce = fc.uint8Array({ minLength: 8, maxLength: 8 });
  const hash = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const entry = fc.record({ status, flags, backendId: u16, ttlS: u32, version: u64 });

  it('to a LOOKUP comes back as it was sealed', () => {
    const address = fc.uint8Array({ minLength: 16, maxLength: 16 });
    const answers = fc.record({
      timeMs,
      status,
      flags,
      port: u16,
      backendId: u16,
      address,
      version: u64,
      ttlS: u32,
      ageMs: u32,
    });
    fc.assert(
      fc.property(keys, hash, timeMs, nonce, answers, (fields, h, at, n, answer) => {
        const sent = encodeLookupRequest(makeKey(fields), h, at, n);
        expect(sent.bytes).toHaveLength(80);
        expect(openLookupReply(sent, sealLookupReply(authenticOf(sent), answer))).toEqual({ ok: true, reply: answer });
      }),
    );
  });

  it('to a FACT comes back as it was sealed', () => {
    const factStatus = fc.constantFrom(Status.FOUND, Status.NOT_FOUND, Status.CLOCK_SKEW, Status.NOT_READY);
    const value = fc.uint8Array({ maxLength: 24 });
    const answers = fc.record({ timeMs, status: factStatus, flags, value, version: u64, ageMs: u32 });
    fc.assert(
      fc.property(keys, hash, timeMs, nonce, answers, (fields, h, at, n, answer) => {
        const sent = encodeFactRequest(makeKey(fields), h, at, n);
        expect(openFactReply(sent, sealFactReply(authenticOf(sent), answer))).toEqual({ ok: true, reply: answer });
      }),
    );
  });

  it('to a BATCH comes back as it was sealed, in as many bytes as were asked with', () => {
    const answers = fc.record({ timeMs, ageMs: u32, entries: fc.array(entry, { minLength: 1, maxLength: 64 }) });
    fc.assert(
      fc.property(keys, hash, timeMs, nonce, answers, (fields, h, at, n, answer) => {
        const hashes = answer.entries.map(() => h);
        const sent = encodeBatchRequest(makeKey(fields), hashes, at, n);
        const reply = sealBatchReply(authenticOf(sent), answer);
        expect(reply).toHaveLength(56 + 16 * hashes.length);
        expect(sent.bytes).toHaveLength(reply.length);
        expect(openBatchReply(sent, reply)).toEqual({ ok: true, reply: answer });
      }),
    );
  });

  it('is refused, never thrown at, whatever bytes arrive', () => {
    const sent = encodeLookupRequest(makeKey({ encrypt: true }), HASH, TIME_MS, NONCE);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (datagram) => {
        expect(openLookupReply(sent, datagram).ok).toBe(false);
      }),
    );
  });
});
