import { describe, expect, it } from 'vitest';
import { Flag, RequestType, Status } from '../../src/abi.ts';
import { type BatchAnswerEntry, sealBatchReply } from '../../src/auth/batch.ts';
import { nonceOf } from '../../src/auth/header.ts';
import { sealLookupReply } from '../../src/auth/lookup.ts';
import type { AuthenticRequest } from '../../src/auth/reply.ts';
import type { SentRequest } from '../../src/auth/request.ts';
import { batchQuestion, lookupQuestion } from '../../src/client/questions.ts';
import { makeKey } from '../auth/support/keys.ts';

const KEY = makeKey();
const NONCE = new Uint8Array(8).fill(1);
const HASH = new Uint8Array(16).fill(2);

function authentic(request: SentRequest): AuthenticRequest {
  const { type, count, encrypted, replyKey, bytes } = request;
  return { type, keyId: KEY.id, nonce: nonceOf(bytes), count, encrypted, replyKey };
}

function entry(status: Status, flags = 0): BatchAnswerEntry {
  return { status, flags, backendId: status === Status.FOUND ? 5 : 0, ttlS: 0, version: 0n };
}

describe('a batch', () => {
  function opened(entries: readonly BatchAnswerEntry[]) {
    const question = batchQuestion(entries.map(() => HASH));
    const request = question.encode(KEY, 1, NONCE);
    expect(request.type).toBe(RequestType.BATCH);
    const reply = sealBatchReply(authentic(request), { timeMs: 2, ageMs: 3, entries });
    const result = question.open(request, reply);
    return result.ok ? question.worthOf(result.reply) : result.reason;
  }

  it.each([
    ['FRESH', [entry(Status.FOUND), entry(Status.NOT_FOUND), entry(Status.DENIED)]],
    ['STALE', [entry(Status.FOUND), entry(Status.NOT_FOUND, Flag.STALE | Flag.PLACED)]],
    ['NOT_READY', [entry(Status.NOT_READY), entry(Status.NOT_READY)]],
    ['CLOCK_SKEW', [entry(Status.CLOCK_SKEW), entry(Status.CLOCK_SKEW)]],
    ['content', [entry(Status.FOUND), entry(Status.NOT_READY)]],
    ['content', [entry(Status.CLOCK_SKEW), entry(Status.DENIED)]],
    ['content', [entry(Status.CLOCK_SKEW), entry(Status.NOT_READY)]],
    ['content', [entry(Status.NOT_FOUND), { ...entry(Status.FOUND), backendId: 0 }]],
  ] as const)('is %s (%#)', (worth, entries) => {
    expect(opened(entries)).toBe(worth);
  });
});

it('takes no reply that says FOUND and no backend', () => {
  const question = lookupQuestion(HASH);
  const request = question.encode(KEY, 1, NONCE);
  const answer = { timeMs: 2, status: Status.FOUND, flags: 0, port: 80, address: new Uint8Array(16) };
  const rest = { version: 0n, ttlS: 1, ageMs: 0 };
  const reply = (backendId: number) => sealLookupReply(authentic(request), { ...answer, ...rest, backendId });
  expect(question.open(request, reply(0))).toEqual({ ok: false, reason: 'content' });
  expect(question.open(request, reply(1))).toMatchObject({ ok: true });
});
