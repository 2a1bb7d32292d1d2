import { describe, expect, it } from 'vitest';
import { RequestType, Verdict } from '../../src/abi.ts';
import { openBatchReply } from '../../src/auth/batch.ts';
import { openFactReply } from '../../src/auth/fact.ts';
import { openLookupReply } from '../../src/auth/lookup.ts';
import type { Opened } from '../../src/auth/reply.ts';
import type { SentRequest } from '../../src/auth/request.ts';
import { respond } from '../../src/auth/respond.ts';
import { flipped } from './support/datagrams.ts';
import { entryOf, factOf, lookupOf, sealVector } from './support/seal-vector.ts';
import { makeTables, SOURCE } from './support/tables.ts';
import { bytes, encodeVector, hex, keyOf, vectors } from './support/vectors.ts';

function open(sent: SentRequest, datagram: Uint8Array): Opened<unknown> {
  if (sent.type === RequestType.LOOKUP) return openLookupReply(sent, datagram);
  return sent.type === RequestType.FACT ? openFactReply(sent, datagram) : openBatchReply(sent, datagram);
}

describe.each(vectors)('vector %s', (_, vector) => {
  const key = keyOf(vector.key);
  const sent = encodeVector(vector, key);
  const reply = bytes(vector.reply_bytes);

  it('encodes the request', () => {
    expect(hex(sent.bytes)).toBe(vector.request_bytes);
    expect(hex(sent.replyKey)).toBe(vector.reply_key);
  });

  it('seals the reply', () => {
    expect(hex(sealVector(vector, sent))).toBe(vector.reply_bytes);
  });

  it('opens the reply, and leaves the datagram as it is', () => {
    const opened = open(sent, reply);
    expect(hex(reply)).toBe(vector.reply_bytes);
    if (!opened.ok) throw new Error(`refused: ${opened.reason}`);
    if (vector.kind === 'batch') {
      const { time_ms, age_ms, entries } = vector.reply;
      expect(opened.reply).toEqual({ timeMs: time_ms, ageMs: age_ms, entries: entries.map(entryOf) });
    } else {
      expect(opened.reply).toEqual(vector.kind === 'fact' ? factOf(vector.reply) : lookupOf(vector.reply));
    }
  });

  it('opens no reply with a byte changed', () => {
    for (let at = 0; at < reply.length; at++) {
      for (const bits of [0x01, 0x80, 0xff]) expect(open(sent, flipped(reply, at, bits)).ok).toBe(false);
    }
  });

  it('is answered by a gateway, and not with a byte changed', () => {
    const tables = makeTables({ keys: [key], nowMs: vector.request.time_ms });
    const answered = respond(sent.bytes, SOURCE, tables, tables.monotonicMs);
    expect([Verdict.REPLY_FOUND, Verdict.REPLY_NOT_FOUND]).toContain(answered.verdict);
    expect(answered.reply && open(sent, answered.reply).ok).toBe(true);
    for (let at = 0; at < sent.bytes.length; at++) {
      for (const bits of [0x01, 0x80, 0xff]) {
        const { verdict, reply: none } = respond(flipped(sent.bytes, at, bits), SOURCE, tables, tables.monotonicMs);
        expect(none).toBeUndefined();
        expect(verdict).toBeLessThan(Verdict.REPLY_CLOCK_SKEW);
      }
    }
  });
});
