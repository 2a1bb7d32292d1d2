import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Verdict } from '../../src/abi.ts';
import { encodeBatchRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { respond } from '../../src/auth/respond.ts';
import { sipHash64 } from '../../src/auth/siphash.ts';
import { makeKey } from './support/keys.ts';
import { HASH, KEY, NONCE, NOW_MS, tablesWith } from './support/responder.ts';
import { MONOTONIC_MS, SOURCE, type TableOptions } from './support/tables.ts';
import { bytes, hex } from './support/vectors.ts';

/** A datagram with some bytes set; a negative place counts from the end. */
function patched(datagram: Uint8Array, patches: readonly [number, number][]): Uint8Array {
  const copy = datagram.slice();
  for (const [at, value] of patches) copy[at < 0 ? copy.length + at : at] = value;
  return copy;
}

describe('order of the checks', () => {
  const request = encodeLookupRequest(KEY, HASH, NOW_MS - 30_001, NONCE).bytes;
  const wrong = {
    source: { allows: () => false },
    magic: [0, 0],
    version: [2, 2],
    type: [3, 4],
    reserved: [79, 1],
    keyUnknown: [7, 1],
    guard: [63, request[63] === 0 ? 1 : 0],
  } as const;
  const late = makeKey({ id: 9, notAfterMs: NOW_MS - 1 });
  const noBudget = { skewBudget: () => false };

  /** Everything is wrong at first; each line has what the line before it found put right. */
  it('finds the first thing that is wrong, whatever else is', () => {
    const all: [number, number][] = [
      [...wrong.magic],
      [...wrong.version],
      [...wrong.type],
      [...wrong.reserved],
      [...wrong.keyUnknown],
      [...wrong.guard],
      [40, (request[40] as number) ^ 1],
    ];
    const judge = (datagram: Uint8Array, options: Partial<TableOptions>) =>
      respond(datagram, SOURCE, tablesWith(options), MONOTONIC_MS).verdict;
    const from = (n: number) => patched(request, all.slice(n));
    const long = (n: number) => Uint8Array.of(...from(n), 0);
    const everything = { ...wrong.source, ...noBudget, keys: [late] };

    expect(judge(from(0).subarray(0, 23), everything)).toBe(Verdict.DROP_LENGTH);
    expect(judge(long(0), everything)).toBe(Verdict.DROP_SOURCE);
    const { allows: _, ...allowed } = everything;
    expect(judge(long(0), allowed)).toBe(Verdict.DROP_MAGIC);
    expect(judge(long(1), allowed)).toBe(Verdict.DROP_VERSION);
    expect(judge(long(2), allowed)).toBe(Verdict.DROP_TYPE);
    expect(judge(long(3), allowed)).toBe(Verdict.DROP_LENGTH);
    expect(judge(from(3), allowed)).toBe(Verdict.DROP_RESERVED);
    expect(judge(from(4), allowed)).toBe(Verdict.DROP_KEY_UNKNOWN);
    expect(judge(from(5), allowed)).toBe(Verdict.DROP_KEY_TIME);
    const { keys: __, ...valid } = allowed;
    expect(judge(from(5), valid)).toBe(Verdict.DROP_GUARD);
  });

  it('asks for the guard, then the budget, then the tag', () => {
    // A guard over a tag that is wrong: only who has the guard key makes one.
    const forged = forgeTag(encodeLookupRequest(KEY, HASH, NOW_MS - 30_001, NONCE).bytes);
    expect(respond(forged, SOURCE, tablesWith(noBudget), MONOTONIC_MS).verdict).toBe(Verdict.DROP_SKEW_BUDGET);
    expect(respond(forged, SOURCE, tablesWith(), MONOTONIC_MS)).toEqual({ verdict: Verdict.DROP_TAG });
    const inTime = forgeTag(encodeLookupRequest(KEY, HASH, NOW_MS, NONCE).bytes);
    expect(respond(inTime, SOURCE, tablesWith(noBudget), MONOTONIC_MS)).toEqual({ verdict: Verdict.DROP_TAG });
  });

  it('spends nothing of the budget for a request within the skew, or one with a wrong guard', () => {
    let asked = 0;
    const counting = { skewBudget: () => asked++ >= 0 };
    respond(encodeLookupRequest(KEY, HASH, NOW_MS, NONCE).bytes, SOURCE, tablesWith(counting), MONOTONIC_MS);
    respond(patched(request, [[...wrong.guard]]), SOURCE, tablesWith(counting), MONOTONIC_MS);
    expect(asked).toBe(0);
    respond(request, SOURCE, tablesWith(counting), MONOTONIC_MS);
    expect(asked).toBe(1);
  });

  it('looks nothing up before the tag is found right', () => {
    const never = () => {
      throw new Error('looked up');
    };
    const tables = { ...tablesWith(), session: never, backend: never, fact: never };
    for (const bad of [forgeTag(encodeLookupRequest(KEY, HASH, NOW_MS, NONCE).bytes), patched(request, [[63, 0]])]) {
      expect(respond(bad, SOURCE, tables, MONOTONIC_MS).reply).toBeUndefined();
    }
    expect(respond(request, SOURCE, tables, MONOTONIC_MS).verdict).toBe(Verdict.REPLY_CLOCK_SKEW);
  });

  it('turns away the key id 0', () => {
    expect(respond(patched(request, [[7, 0]]), SOURCE, tablesWith(), MONOTONIC_MS).verdict).toBe(
      Verdict.DROP_KEY_UNKNOWN,
    );
  });

  it('passes the source on as it is', () => {
    const seen: string[] = [];
    const allows = (source: Uint8Array) => seen.push(hex(source)) > 0;
    respond(request, SOURCE, tablesWith({ allows }), MONOTONIC_MS);
    expect(seen).toEqual([hex(SOURCE)]);
  });
});

/** Changes the tag and makes the guard anew. */
function forgeTag(request: Uint8Array): Uint8Array {
  const forged = patched(request, [[55, (request[55] as number) ^ 1]]);
  forged.set(sipHash64(KEY.guardKey, forged.subarray(0, 56)), 56);
  return forged;
}

describe('form of a BATCH', () => {
  const batch = encodeBatchRequest(KEY, [HASH, HASH], NOW_MS, NONCE).bytes;
  const judge = (datagram: Uint8Array) => respond(datagram, SOURCE, tablesWith(), MONOTONIC_MS).verdict;

  it.each<[string, Uint8Array, Verdict]>([
    ['right', batch, Verdict.REPLY_FOUND],
    ['without entries', patched(batch.subarray(0, 56), [[25, 0]]), Verdict.DROP_LENGTH],
    ['of a header alone', batch.subarray(0, 24), Verdict.DROP_LENGTH],
    ['that ends in its prefix', batch.subarray(0, 31), Verdict.DROP_LENGTH],
    ['that says fewer entries', patched(batch, [[25, 1]]), Verdict.DROP_LENGTH],
    ['that says more entries', patched(batch, [[25, 3]]), Verdict.DROP_LENGTH],
    [
      'of 65 entries',
      patched(new Uint8Array(56 + 16 * 65), [
        [0, 0x53],
        [1, 0x47],
        [2, 1],
        [3, 2],
        [25, 65],
      ]),
      Verdict.DROP_LENGTH,
    ],
    ['with reserved bytes', patched(batch, [[26, 1]]), Verdict.DROP_RESERVED],
    ['with reserved bytes at the end of the prefix', patched(batch, [[31, 1]]), Verdict.DROP_RESERVED],
    ['with an age', patched(batch, [[28, 1]]), Verdict.DROP_RESERVED],
    ['with another guard', patched(batch, [[-1, 0xff]]), Verdict.DROP_GUARD],
    ['with another hash', patched(batch, [[40, 0xff]]), Verdict.DROP_TAG],
  ])('%s', (_, datagram, verdict) => {
    expect(judge(datagram)).toBe(verdict);
  });
});

describe('any datagram', () => {
  it('that nobody with a key made is dropped, and nothing thrown', () => {
    const tables = tablesWith();
    const beginning = fc.constantFrom(
      '',
      '53470101',
      '5347010200000009',
      '534701030000000900000000',
      '53470101000000090000',
    );
    fc.assert(
      fc.property(beginning, fc.uint8Array({ maxLength: 200 }), (start, rest) => {
        const { verdict, reply } = respond(Uint8Array.of(...bytes(start), ...rest), SOURCE, tables, MONOTONIC_MS);
        expect(reply).toBeUndefined();
        expect(verdict).toBeGreaterThanOrEqual(Verdict.DROP_LENGTH);
        expect(verdict).toBeLessThan(Verdict.REPLY_CLOCK_SKEW);
      }),
      { numRuns: 1000 },
    );
  });
});
