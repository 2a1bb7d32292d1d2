import { describe, expect, it } from 'vitest';
import { cursorAtFront, PageBatch } from '../../../src/sync/snapshot/page-batch.ts';
import { encodeReply, replyOf, type Value } from '../replies.ts';

describe('a page', () => {
  it('has its records', () => {
    const page = new PageBatch(
      replyOf(encodeReply(['17', '5-1', 'sess:a', 'web-1', 1_700_000_000_000, 's', null, -2, 'sess:', '', -1])),
    );
    expect(page).toMatchObject({ cursor: '17', id: { ms: 5n, seq: 1n }, length: 3 });
    const records = [0, 1, 2].map((i) => [page.sid(i, 5).toString(), page.value(i)?.toString(), page.ends(i)]);
    expect(records).toEqual([
      ['a', 'web-1', 1_700_000_000_000],
      ['', undefined, -2],
      ['', '', -1],
    ]);
  });

  it.each<[string, Value]>([
    ['a string', 'OK'],
    ['no list', null],
    ['an empty list', []],
    ['no id', ['0']],
    ['a number for the cursor', [0, '0-0']],
    ['an id that is none', ['0', '0']],
    ['a part of a record', ['0', '0-0', 'sess:a', 'web-1']],
    ['a record without a key', ['0', '0-0', null, 'web-1', -1]],
    ['a list for a value', ['0', '0-0', 'sess:a', ['web-1'], -1]],
    ['a string for an end', ['0', '0-0', 'sess:a', 'web-1', '-1']],
    ['an end that is neither a time nor a mark', ['0', '0-0', 'sess:a', null, -6]],
    ['a value of a key that is elsewhere', ['0', '0-0', 'sess:a', 'web-1', -5]],
    ['a bad last record', ['0', '0-0', 'sess:a', 'web-1', -1, 'sess:b', 'web-1', null]],
  ])('is refused where the script answered %s', (_, value) => {
    expect(() => new PageBatch(replyOf(encodeReply(value)))).toThrow(expect.objectContaining({ code: 'REDIS_REPLY' }));
  });
});

describe('the cursor at the front of a page', () => {
  it('is that of the page, where the first bytes have all of it', () => {
    const bytes = encodeReply(['18446744073709551615', '5-1', 'sess:a', 'web-1', -1]);
    const needed = bytes.indexOf('$3') /* the id */;
    for (let length = 0; length <= bytes.length; length++) {
      expect(cursorAtFront(bytes.subarray(0, length))).toBe(length < needed ? null : '18446744073709551615');
    }
  });

  it.each(['-NOSCRIPT no such script\r\n', '$2\r\n17\r\n', '*2\r\n$-1\r\n', '*2\r\n:17\r\n', '*2\r\n$1\r\nx\r\n'])(
    'is none where Redis answered %j',
    (text) => expect(cursorAtFront(Buffer.from(text))).toBeNull(),
  );
});
