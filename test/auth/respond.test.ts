import { describe, expect, it } from 'vitest';
import { Flag, Status, Verdict } from '../../src/abi.ts';
import { openBatchReply } from '../../src/auth/batch.ts';
import { openFactReply } from '../../src/auth/fact.ts';
import { LONGEST, NEVER } from '../../src/auth/header.ts';
import { openLookupReply } from '../../src/auth/lookup.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { respond } from '../../src/auth/respond.ts';
import { SkewBudget } from '../../src/auth/skew-budget.ts';
import { makeKey } from './support/keys.ts';
import {
  BACKEND,
  HASH,
  KEY,
  lookup,
  NONCE,
  NOTHING,
  NOW_MS,
  SESSION,
  tablesWith,
  UNKNOWN,
} from './support/responder.ts';
import { MONOTONIC_MS, SOURCE, type TableOptions } from './support/tables.ts';
import { bytes, hex } from './support/vectors.ts';

describe('clock', () => {
  it.each([
    [NOW_MS - 30_000, Verdict.REPLY_FOUND],
    [NOW_MS + 30_000, Verdict.REPLY_FOUND],
    [NOW_MS - 30_001, Verdict.REPLY_CLOCK_SKEW],
    [NOW_MS + 30_001, Verdict.REPLY_CLOCK_SKEW],
    [0, Verdict.REPLY_CLOCK_SKEW],
    [Number.MAX_SAFE_INTEGER, Verdict.REPLY_CLOCK_SKEW],
  ])('a request of %d gives verdict %d', (timeMs, verdict) => {
    expect(lookup({}, HASH, timeMs).verdict).toBe(verdict);
  });

  it('tells its own time and age beside CLOCK_SKEW, and nothing else', () => {
    const stale = { inStepMs: 1, ready: false };
    expect(lookup({ settings: stale }, HASH, 0).reply).toEqual({
      ...NOTHING,
      timeMs: NOW_MS,
      status: Status.CLOCK_SKEW,
      flags: 0,
      ageMs: MONOTONIC_MS - 1,
    });
  });

  it('looks at no more than the budget', () => {
    const budget = new SkewBudget(2);
    const skewBudget = (nowMs: number) => budget.spend(nowMs);
    const verdicts = [1, 2, 3].map(() => lookup({ skewBudget }, HASH, 0).verdict);
    expect(verdicts).toEqual([Verdict.REPLY_CLOCK_SKEW, Verdict.REPLY_CLOCK_SKEW, Verdict.DROP_SKEW_BUDGET]);
  });

  it.each([
    [{ notBeforeMs: NOW_MS }, Verdict.REPLY_FOUND],
    [{ notBeforeMs: NOW_MS + 1 }, Verdict.DROP_KEY_TIME],
    [{ notAfterMs: NOW_MS }, Verdict.REPLY_FOUND],
    [{ notAfterMs: NOW_MS - 1 }, Verdict.DROP_KEY_TIME],
  ])('a key with %o gives verdict %d', (validity, verdict) => {
    const key = makeKey({ id: 9, ...validity });
    expect(lookup({ keys: [key] }, HASH, NOW_MS, key).verdict).toBe(verdict);
  });
});

describe('answers to a LOOKUP', () => {
  it('FOUND', () => {
    expect(lookup()).toEqual({
      verdict: Verdict.REPLY_FOUND,
      reply: {
        timeMs: NOW_MS,
        status: Status.FOUND,
        flags: 0,
        port: 8080,
        backendId: 65535,
        address: BACKEND.address,
        version: 77n,
        ttlS: 2,
        ageMs: 250,
      },
    });
  });

  it.each<[string, Partial<TableOptions>, Uint8Array]>([
    ['no record', {}, UNKNOWN],
    ['a record of an older generation', { settings: { generation: 4 } }, HASH],
    ['a record that expires now', { sessions: { [hex(HASH)]: { ...SESSION, expiresMs: NOW_MS } } }, HASH],
    ['a record of no backend', { sessions: { [hex(HASH)]: { ...SESSION, backendId: 0 } } }, HASH],
    ['a backend that is not known', { sessions: { [hex(HASH)]: { ...SESSION, backendId: 4 } } }, HASH],
    ['a backend that is not there', { sessions: { [hex(HASH)]: { ...SESSION, backendId: 5 } } }, HASH],
    [
      'backend 0 that is there',
      { sessions: { [hex(HASH)]: { ...SESSION, backendId: 0 } }, backends: { 0: BACKEND } },
      HASH,
    ],
  ])('NOT_FOUND for %s', (_, options, hash) => {
    expect(lookup(options, hash)).toEqual({
      verdict: Verdict.REPLY_NOT_FOUND,
      reply: { ...NOTHING, timeMs: NOW_MS, status: Status.NOT_FOUND, flags: 0, ageMs: 250 },
    });
  });

  it('NOT_READY before the first load, without flags', () => {
    expect(lookup({ settings: { ready: false, inStepMs: 0 } })).toEqual({
      verdict: Verdict.REPLY_NOT_READY,
      reply: { ...NOTHING, timeMs: NOW_MS, status: Status.NOT_READY, flags: 0, ageMs: NEVER },
    });
  });

  it('takes records of this generation and the next', () => {
    for (const generation of [3, 4]) {
      const sessions = { [hex(HASH)]: { ...SESSION, generation } };
      expect(lookup({ sessions }).verdict).toBe(Verdict.REPLY_FOUND);
    }
  });

  it.each([
    [0, NEVER],
    [NOW_MS + 1, 1],
    [NOW_MS + 1000, 1],
    [NOW_MS + 1001, 2],
    [NOW_MS + LONGEST * 1000, LONGEST],
    [NOW_MS + LONGEST * 1000 + 1, LONGEST],
    [253_402_300_799_999 * 10, LONGEST],
  ])('a record that expires at %d has ttl_s %d', (expiresMs, ttlS) => {
    expect(lookup({ sessions: { [hex(HASH)]: { ...SESSION, expiresMs } } }).reply?.ttlS).toBe(ttlS);
  });

  it.each([
    [MONOTONIC_MS, 10_000, 0, 0],
    [MONOTONIC_MS - 10_000, 10_000, 10_000, 0],
    [MONOTONIC_MS - 10_001, 10_000, 10_001, Flag.STALE],
    [MONOTONIC_MS + 3, 10_000, 0, 0],
    [0, Number.MAX_SAFE_INTEGER, NEVER, Flag.STALE],
  ])('in step at %d, stale after %d: age_ms %d, flags %d', (inStepMs, staleAfterMs, ageMs, flags) => {
    for (const hash of [HASH, UNKNOWN]) {
      expect(lookup({ settings: { inStepMs, staleAfterMs } }, hash).reply).toMatchObject({ ageMs, flags });
    }
  });

  it('caps the age below what means never', () => {
    const monotonicMs = 2 ** 32 + 100;
    const sent = encodeLookupRequest(KEY, HASH, NOW_MS, NONCE);
    const tables = tablesWith({ settings: { inStepMs: 1, clockOffsetMs: NOW_MS - monotonicMs } });
    const { reply } = respond(sent.bytes, SOURCE, tables, monotonicMs);
    expect(reply && openLookupReply(sent, reply)).toMatchObject({ reply: { ageMs: LONGEST, flags: Flag.STALE } });
  });

  it('leaves the datagram as it is, and answers in as many bytes', () => {
    const { bytes: datagram } = encodeLookupRequest(KEY, HASH, NOW_MS, NONCE);
    const before = hex(datagram);
    expect(respond(datagram, SOURCE, tablesWith(), MONOTONIC_MS).reply).toHaveLength(80);
    expect(hex(datagram)).toBe(before);
  });
});

describe('answers to a FACT', () => {
  function fact(hash: Uint8Array, options: Partial<TableOptions> = {}, timeMs = NOW_MS) {
    const sent = encodeFactRequest(KEY, hash, timeMs, NONCE);
    const { verdict, reply } = respond(sent.bytes, SOURCE, tablesWith(options), MONOTONIC_MS);
    const opened = reply && openFactReply(sent, reply);
    return { verdict, reply: opened?.ok ? opened.reply : undefined };
  }
  const none = { timeMs: NOW_MS, value: new Uint8Array(0), version: 0n, ageMs: 250, flags: 0 };

  it('FOUND, with STALE where it is', () => {
    const reply = { ...none, status: Status.FOUND, value: bytes('0102'), version: 8n };
    expect(fact(HASH)).toEqual({ verdict: Verdict.REPLY_FOUND, reply });
    expect(fact(HASH, { settings: { inStepMs: 0 } }).reply).toEqual({ ...reply, ageMs: NEVER, flags: Flag.STALE });
  });

  it('NOT_FOUND, NOT_READY, CLOCK_SKEW', () => {
    expect(fact(UNKNOWN)).toEqual({
      verdict: Verdict.REPLY_NOT_FOUND,
      reply: { ...none, status: Status.NOT_FOUND },
    });
    expect(fact(HASH, { settings: { ready: false } })).toEqual({
      verdict: Verdict.REPLY_NOT_READY,
      reply: { ...none, status: Status.NOT_READY },
    });
    expect(fact(HASH, {}, 0)).toEqual({
      verdict: Verdict.REPLY_CLOCK_SKEW,
      reply: { ...none, status: Status.CLOCK_SKEW },
    });
  });
});

describe('answers to a BATCH', () => {
  function batch(hashes: readonly Uint8Array[], options: Partial<TableOptions> = {}, timeMs = NOW_MS) {
    const sent = encodeBatchRequest(KEY, hashes, timeMs, NONCE);
    const { verdict, reply } = respond(sent.bytes, SOURCE, tablesWith(options), MONOTONIC_MS);
    const opened = reply && openBatchReply(sent, reply);
    return { verdict, reply: opened?.ok ? opened.reply : undefined };
  }
  const found = { status: Status.FOUND, flags: 0, backendId: 65535, ttlS: 2, version: 77n };
  const empty = { flags: 0, backendId: 0, ttlS: 0, version: 0n };

  it('each entry in its place', () => {
    const notFound = { ...empty, status: Status.NOT_FOUND };
    expect(batch([UNKNOWN, HASH, UNKNOWN])).toEqual({
      verdict: Verdict.REPLY_FOUND,
      reply: { timeMs: NOW_MS, ageMs: 250, entries: [notFound, found, notFound] },
    });
  });

  it('says in each entry that it is stale', () => {
    const flags = Flag.STALE;
    expect(batch([HASH, UNKNOWN], { settings: { inStepMs: 0 } }).reply?.entries).toEqual([
      { ...found, flags },
      { ...empty, status: Status.NOT_FOUND, flags },
    ]);
  });

  it('NOT_READY and CLOCK_SKEW in each entry', () => {
    const notReady = { ...empty, status: Status.NOT_READY };
    expect(batch([HASH, HASH], { settings: { ready: false } })).toEqual({
      verdict: Verdict.REPLY_NOT_READY,
      reply: { timeMs: NOW_MS, ageMs: 250, entries: [notReady, notReady] },
    });
    expect(batch([HASH], {}, 0)).toEqual({
      verdict: Verdict.REPLY_CLOCK_SKEW,
      reply: { timeMs: NOW_MS, ageMs: 250, entries: [{ ...empty, status: Status.CLOCK_SKEW }] },
    });
  });
});
