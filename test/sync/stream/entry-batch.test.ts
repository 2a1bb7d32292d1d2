import { describe, expect, it } from 'vitest';
import { EntryBatch } from '../../../src/sync/stream/entry-batch.ts';
import { batchOf, encodeReply, replyOf, type Value } from '../replies.ts';

describe('a batch of entries', () => {
  it('has the entries with their fields', () => {
    const batch = batchOf(['1-0', 'op', 'set', 'sid', 'a'], ['2-0'], ['3-1', 'op', 'del', 'op', 'other', 'sid', '']);
    const seen: [string, string[]][] = [];
    for (let i = 0, entry = batch.first; i < batch.length; i++, entry = batch.next(entry)) {
      seen.push([batch.slice(batch.id(entry)).toString(), batch.fields(entry, 16).map(String)]);
    }
    expect(seen).toEqual([
      ['1-0', ['op', 'set', 'sid', 'a']],
      ['2-0', []],
      ['3-1', ['op', 'del', 'op', 'other', 'sid', '']],
    ]);
    const { last } = batch;
    expect(batch.isText(batch.field(last, 'op'), 'del')).toBe(true);
    expect(batch.isText(batch.field(last, 'op'), 'delete')).toBe(false);
    expect(batch.size(batch.field(last, 'sid'))).toBe(0);
    expect(batch.field(last, 'o')).toBe(-1);
  });

  it('gives the first fields of a long entry', () => {
    const many = Array.from({ length: 40 }, (_, i) => [`f${i}`, `v${i}`]).flat();
    const batch = batchOf(['1-0', 'op', 'del'], ['2-0', ...many]);
    expect(batch.fields(batch.last, 5).map(String)).toEqual(['f0', 'v0', 'f1', 'v1', 'f2']);
    expect(batch.fields(batch.first, 5).map(String)).toEqual(['op', 'del']);
  });

  it('is empty where XREAD found nothing', () => {
    expect(new EntryBatch(replyOf(encodeReply(null)), 0).length).toBe(0);
    expect(EntryBatch.none.length).toBe(0);
    expect(batchOf().length).toBe(0);
  });

  it.each<[string, Value]>([
    ['a string', 'OK'],
    ['no stream', []],
    [
      'two streams',
      [
        ['a', []],
        ['b', []],
      ],
    ],
    ['a stream without entries', [['a']]],
    ['a stream without a name', [[null, []]]],
    ['entries that are no list', [['a', 'b']]],
    ['an entry that is no list', [['a', ['1-0']]]],
    ['an entry without fields', [['a', [['1-0']]]]],
    ['an entry whose fields are gone', [['a', [['1-0', null]]]]],
    ['an entry with a list for an id', [['a', [[['1-0'], []]]]]],
    ['a field without a value', [['a', [['1-0', ['op']]]]]],
    ['a number for a value', [['a', [['1-0', ['op', 1]]]]]],
    ['a list for a value', [['a', [['1-0', ['op', ['set']]]]]]],
  ])('is refused where XREAD answered %s', (_, value) => {
    expect(() => new EntryBatch(replyOf(encodeReply(value)), 0)).toThrow(
      expect.objectContaining({ code: 'REDIS_REPLY' }),
    );
  });
});
