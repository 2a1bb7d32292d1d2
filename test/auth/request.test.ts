import { describe, expect, it } from 'vitest';
import { Status } from '../../src/abi.ts';
import { sealBatchReply } from '../../src/auth/batch.ts';
import { sealFactReply } from '../../src/auth/fact.ts';
import { sealLookupReply } from '../../src/auth/lookup.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { authenticOf, HASH, LOOKUP_ANSWER, NONCE, TIME_MS } from './support/datagrams.ts';
import { makeKey } from './support/keys.ts';

describe('arguments', () => {
  const key = makeKey();

  it.each<[string, () => unknown, string]>([
    ['hash', () => encodeLookupRequest(key, HASH.subarray(1), TIME_MS, NONCE), 'hash: found 15 bytes, allowed: 16'],
    ['nonce', () => encodeFactRequest(key, HASH, TIME_MS, HASH), 'nonce: found 16 bytes, allowed: 8'],
    [
      'negative time',
      () => encodeLookupRequest(key, HASH, -1, NONCE),
      'timeMs: found -1, allowed: an integer from 0 to',
    ],
    ['broken time', () => encodeLookupRequest(key, HASH, 0.5, NONCE), 'timeMs: found 0.5'],
    ['time beyond 2^53', () => encodeLookupRequest(key, HASH, 2 ** 53, NONCE), 'timeMs: found 9007199254740992'],
    [
      'no hash',
      () => encodeBatchRequest(key, [], TIME_MS, NONCE),
      'hashes.length: found 0, allowed: an integer from 1 to 64',
    ],
    ['65 hashes', () => encodeBatchRequest(key, new Array(65).fill(HASH), TIME_MS, NONCE), 'hashes.length: found 65'],
    [
      'a short hash',
      () => encodeBatchRequest(key, [HASH, NONCE], TIME_MS, NONCE),
      'hashes[1]: found 8 bytes, allowed: 16',
    ],
  ])('of a request are checked: %s', (_, encode, message) => {
    expect(encode).toThrow(RangeError);
    expect(encode).toThrow(message);
  });

  it('of a reply are checked', () => {
    const lookup = authenticOf(encodeLookupRequest(key, HASH, TIME_MS, NONCE));
    const fact = authenticOf(encodeFactRequest(key, HASH, TIME_MS, NONCE));
    const batch = authenticOf(encodeBatchRequest(key, [HASH], TIME_MS, NONCE));
    const factAnswer = { timeMs: 0, status: Status.FOUND, flags: 0, value: new Uint8Array(25), version: 0n, ageMs: 0 };
    expect(() => sealLookupReply(lookup, { ...LOOKUP_ANSWER, port: 65536 })).toThrow('port: found 65536');
    expect(() => sealLookupReply(lookup, { ...LOOKUP_ANSWER, address: NONCE })).toThrow('address: found 8 bytes');
    expect(() => sealLookupReply(lookup, { ...LOOKUP_ANSWER, ttlS: 2 ** 32 })).toThrow('ttlS: found 4294967296');
    expect(() => sealFactReply(fact, factAnswer)).toThrow('value.length: found 25');
    expect(() => sealBatchReply(batch, { timeMs: 0, ageMs: 0, entries: [] })).toThrow('entries.length: found 0');
  });
});
