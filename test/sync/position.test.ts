import { describe, expect, it } from 'vitest';
import { findGap, NO_STREAM, type Position, parseStreamInfo, type StreamInfo } from '../../src/sync/position.ts';
import { parseStreamId } from '../../src/sync/versions.ts';

const at = (last: string, entriesAdded: number): Position => ({ last: parseStreamId(last), entriesAdded });
const stream = (last: string, entriesAdded: number, length: number, maxDeleted = '0-0'): StreamInfo => ({
  last: parseStreamId(last),
  entriesAdded,
  length,
  maxDeleted: parseStreamId(maxDeleted),
});

describe('findGap', () => {
  it.each([
    ['nothing new', at('5-0', 5), stream('5-0', 5, 5), 0, true],
    ['all new entries read', at('5-0', 5), stream('8-0', 8, 8), 3, true],
    ['more to read', at('5-0', 5), stream('9-0', 90, 90), 3, false],
    ['read entries trimmed, just up to the position', at('5-0', 5), stream('8-0', 8, 3), 3, true],
    ['the last read entry deleted', at('5-0', 5), stream('8-0', 8, 7, '5-0'), 3, true],
    ['a stream that is not there yet', at('0-0', 0), NO_STREAM, 0, true],
    ['its first entry', at('0-0', 0), stream('1-0', 1, 1), 1, true],
  ])('none: %s', (_title, position, info, entries, atEnd) => {
    expect(findGap(position, info, entries, atEnd)).toBeNull();
  });

  it.each([
    ['last-id-went-back', at('5-0', 5), stream('4-9', 5, 5), 0, true],
    ['last-id-went-back', at('5-1', 5), stream('5-0', 9, 9), 0, true],
    ['last-id-went-back', at('5-0', 5), NO_STREAM, 0, true],
    ['count-went-back', at('5-0', 5), stream('6-0', 4, 4), 1, true],
    ['trimmed', at('5-0', 5), stream('8-0', 8, 2), 2, true],
    ['trimmed', at('5-0', 5), stream('9-0', 90, 84), 3, false],
    ['deleted', at('5-0', 5), stream('8-0', 8, 7, '6-0'), 2, true],
    ['deleted', at('5-0', 5), stream('9-0', 90, 89, '7-0'), 3, false],
    ['count-differs', at('5-0', 5), stream('8-0', 9, 9), 3, true],
    ['count-differs', at('5-0', 5), stream('5-0', 6, 6), 0, true],
    ['count-differs', at('5-0', 5), stream('8-0', 6, 6), 3, true],
  ])('%s, case %#', (kind, position, info, entries, atEnd) => {
    expect(findGap(position, info, entries, atEnd)).toBe(kind);
  });
});

describe('parseStreamInfo', () => {
  const reply = [
    'length',
    3,
    'last-generated-id',
    '7-1',
    'max-deleted-entry-id',
    '2-0',
    'entries-added',
    9,
    'first-entry',
    null,
  ];
  const asRead = reply.map((value) => (typeof value === 'string' ? Buffer.from(value) : value));

  it('takes what Redis says', () => {
    expect(parseStreamInfo(asRead)).toEqual(stream('7-1', 9, 3, '2-0'));
  });

  it('takes a missing stream for an empty one', () => {
    expect(parseStreamInfo(new Error('ERR no such key'))).toBe(NO_STREAM);
  });

  it('says that an old Redis is too old', () => {
    const old = asRead.slice(0, 4);
    expect(() => parseStreamInfo(old)).toThrow('found no entries-added, needed: Redis 7.0 or newer');
  });

  it('throws every other error', () => {
    expect(() => parseStreamInfo(new Error('WRONGTYPE x'))).toThrow('XINFO: WRONGTYPE x');
    expect(() => parseStreamInfo('OK')).toThrow('found no list');
    expect(() => parseStreamInfo([Buffer.from('length'), 'x', ...asRead.slice(2)])).toThrow(
      'found no number for length',
    );
  });
});
