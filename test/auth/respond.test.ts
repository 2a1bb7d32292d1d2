import { describe, expect, it } from 'vitest';
import { Flag, Status, Verdict } from '../../src/abi.ts';
import { openBatchReply } from '../../src/auth/batch.ts';
import { openFactReply } from '../../src/auth/fact.ts';
import { LONGEST, NEVER } from '../../src/auth/header.ts';
import { openLookupReply } from '../../src/auth/lookup.ts';
import { RING_SLOTS, type Ring, shedRankOf } from '../../src/auth/placement.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { respond } from '../../src/auth/respond.ts';
import type { BackendRecord } from '../../src/auth/responder-tables.ts';
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

/** Of which all slots are the same. */
function ring(placed: number, moved: number): Ring {
  return { placed: new Uint16Array(RING_SLOTS).fill(placed), moved: new Uint16Array(RING_SLOTS).fill(moved) };
}

const RANK = shedRankOf(HASH);
const OTHER: BackendRecord = { ...BACKEND, address: bytes('00000000000000000000ffff0a010006'), port: 6 };
/** 4 isn't known. */
const BACKENDS = { 4: { ...BACKEND, known: false }, 6: OTHER, 65535: BACKEND };

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

  it.each<[string, Partial<BackendRecord>, Ring, Verdict, number]>([
    ['active', {}, ring(4, 6), Verdict.REPLY_FOUND, 65535],
    ['draining or down', { active: false }, ring(4, 6), Verdict.REPLY_MOVED, 6],
    ['draining, and who takes anybody sheds', { active: false }, ring(6, 0), Verdict.REPLY_MOVED, 6],
    ['draining, and there is no other', { active: false }, ring(0, 0), Verdict.REPLY_FOUND, 65535],
    ['draining, and the other is not known', { active: false }, ring(4, 4), Verdict.REPLY_FOUND, 65535],
    ['shedding this user', { shed: RANK + 1 }, ring(4, 6), Verdict.REPLY_MOVED, 6],
    ['shedding others', { shed: RANK }, ring(4, 6), Verdict.REPLY_FOUND, 65535],
    ['shedding this user, as all others do', { shed: RANK + 1 }, ring(6, 0), Verdict.REPLY_FOUND, 65535],
  ])('a stored backend that is %s', (_, stored, ring, verdict, backendId) => {
    const answer = lookup({ backends: { ...BACKENDS, 65535: { ...BACKEND, ...stored } }, ring });
    const flags = verdict === Verdict.REPLY_MOVED ? Flag.MOVED : 0;
    const { address, port } = backendId === 6 ? OTHER : BACKEND;
    const fields = { status: Status.FOUND, flags, backendId, address, port, version: 77n, ttlS: 2 };
    expect(answer).toMatchObject({ verdict, reply: fields });
  });

  it.each<[string, Partial<BackendRecord>, Ring, number]>([
    ['the slot’s backend', {}, ring(6, 65535), 6],
    ['the next one, where that sheds this user', { shed: shedRankOf(UNKNOWN) + 1 }, ring(6, 65535), 65535],
    ['the slot’s backend, where all shed', { shed: 10_000 }, ring(6, 0), 6],
    ['the slot’s backend, where that sheds others', { shed: shedRankOf(UNKNOWN) }, ring(6, 65535), 6],
    ['nobody, where the slot’s backend is not known', {}, ring(4, 4), 0],
  ])('who has no record is placed on %s', (_, placed, ring, backendId) => {
    const answer = lookup({ backends: { ...BACKENDS, 6: { ...OTHER, ...placed } }, ring }, UNKNOWN);
    const fields = { ...NOTHING, status: Status.NOT_FOUND, timeMs: NOW_MS, ageMs: 250 };
    if (backendId === 0) expect(answer).toEqual({ verdict: Verdict.REPLY_NOT_FOUND, reply: { ...fields, flags: 0 } });
    else {
      const { address, port } = backendId === 6 ? OTHER : BACKEND;
      const reply = { ...fields, flags: Flag.PLACED, backendId, address, port };
      expect(answer).toEqual({ verdict: Verdict.REPLY_PLACED, reply });
    }
  });

  it.each([
    ['with a record', HASH],
    ['without one', UNKNOWN],
  ])('DENIED for a revoked session %s, until its end', (_, hash) => {
    const until = (untilMs: number) =>
      lookup({ denied: { [hex(hash)]: untilMs }, ring: ring(6, 6), backends: BACKENDS }, hash);
    const reply = { ...NOTHING, timeMs: NOW_MS, status: Status.DENIED, flags: 0, ageMs: 250 };
    expect(until(NOW_MS + 1)).toEqual({ verdict: Verdict.REPLY_DENIED, reply });
    expect(until(NOW_MS).reply?.status).toBe(hash === HASH ? Status.FOUND : Status.NOT_FOUND);
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

  it('moved, placed and denied, without addresses', () => {
    const denied = { [hex(HASH.toReversed())]: NOW_MS + 1 };
    const backends = { ...BACKENDS, 65535: { ...BACKEND, active: false } };
    expect(batch([HASH, UNKNOWN, HASH.toReversed()], { backends, denied, ring: ring(6, 6) }).reply?.entries).toEqual([
      { ...found, flags: Flag.MOVED, backendId: 6 },
      { ...empty, status: Status.NOT_FOUND, flags: Flag.PLACED, backendId: 6 },
      { ...empty, status: Status.DENIED },
    ]);
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
