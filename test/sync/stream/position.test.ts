import { describe, expect, it } from 'vitest';
import { endOf, findGap, type Position, parseStreamInfo, type StreamInfo } from '../../../src/sync/stream/position.ts';
import { parseStreamId, ZERO_ID } from '../../../src/sync/versions.ts';

const at = (last: string, entriesAdded: number, marks: Partial<Position> = {}): Position => ({
  last: parseStreamId(last),
  entriesAdded,
  landmark: null,
  history: null,
  flushes: null,
  read: null,
  ...marks,
});
const stream = (
  last: string,
  entriesAdded: number,
  length: number,
  maxDeleted = '0-0',
  more: Partial<StreamInfo> = {},
): StreamInfo => ({
  last: parseStreamId(last),
  entriesAdded,
  length,
  maxDeleted: parseStreamId(maxDeleted),
  first: null,
  newest: null,
  seen: null,
  seenRead: null,
  history: null,
  flushes: null,
  ...more,
});
const NO_STREAM = stream('0-0', 0, 0);

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

/** In all of these the numbers are those of a stream that goes on. */
describe('findGap, where the numbers do not tell', () => {
  const landmark = { id: parseStreamId('5-0'), digest: 'aa' };
  const here = at('5-0', 5, { landmark, history: 'one' });
  const first = (id: string): Partial<StreamInfo> => ({ first: parseStreamId(id) });

  it.each([
    ['the landmark is there', stream('8-0', 8, 8, '0-0', { seen: 'aa', ...first('1-0'), history: 'one' }), null],
    ['there on another server', stream('8-0', 8, 8, '0-0', { seen: 'aa', ...first('1-0'), history: 'two' }), null],
    [
      'there with other fields',
      stream('8-0', 8, 8, '0-0', { seen: 'bb', ...first('1-0'), history: 'one' }),
      'replaced',
    ],
    ['not there', stream('8-0', 8, 8, '0-0', { ...first('1-0'), history: 'one' }), 'replaced'],
    ['not there, but an older one was deleted', stream('8-0', 8, 7, '4-9', first('1-0')), 'replaced'],
    ['deleted', stream('8-0', 8, 7, '5-0', { ...first('1-0'), history: 'one' }), null],
    ['deleted, on another server', stream('8-0', 8, 7, '5-0', { ...first('1-0'), history: 'two' }), 'other-history'],
    ['trimmed', stream('8-0', 8, 3, '0-0', { ...first('6-0'), history: 'one' }), null],
    ['trimmed, on another server', stream('8-0', 8, 3, '0-0', { ...first('6-0'), history: 'two' }), 'other-history'],
    ['trimmed, and the server does not tell', stream('8-0', 8, 3, '0-0', first('6-0')), null],
  ])('%s', (_title, info, kind) => {
    expect(findGap(here, info, 3, true)).toBe(kind);
  });

  it('the stream had no entries, and is that of another server', () => {
    const position = at('0-0', 0, { history: 'one' });
    expect(findGap(position, { ...NO_STREAM, history: 'two' }, 0, true)).toBe('other-history');
    expect(findGap(position, { ...NO_STREAM, history: 'one' }, 0, true)).toBeNull();
  });

  it('there was no stream before, and a database was flushed meanwhile', () => {
    const position = at('0-0', 0, { history: 'one', flushes: '3 0 0' });
    expect(findGap(position, { ...NO_STREAM, history: 'one', flushes: '4 0 0' }, 0, true)).toBe('flushed');
    expect(findGap(position, { ...NO_STREAM, history: 'one', flushes: '3 0 0' }, 0, true)).toBeNull();
    expect(findGap(position, { ...NO_STREAM, history: 'one', flushes: null }, 0, true)).toBeNull();
  });

  it('another database was flushed: the landmark is there', () => {
    const position = at('5-0', 5, { landmark, history: 'one', flushes: '3 0 0' });
    const info = stream('8-0', 8, 8, '0-0', { seen: 'aa', ...first('1-0'), history: 'one', flushes: '4 0 0' });
    expect(findGap(position, info, 3, true)).toBeNull();
  });

  it('another server has the landmark, but maybe not what was read after it', () => {
    const position = at('7-0', 7, { landmark, read: { id: parseStreamId('7-0'), digest: 'bb' }, history: 'one' });
    const same = stream('8-0', 8, 8, '0-0', { seen: 'aa', ...first('1-0'), history: 'one' });
    expect(findGap(position, same, 1, true)).toBeNull();
    expect(findGap(position, { ...same, history: 'two' }, 1, true)).toBe('other-history');
    expect(findGap(position, { ...same, history: 'two', seenRead: 'cc' }, 1, true)).toBe('other-history');
    expect(findGap(position, { ...same, history: 'two', seenRead: 'bb' }, 1, true)).toBeNull();
  });
});

describe('parseStreamInfo', () => {
  const reply = [3, '7-1', '2-0', '9', '3-0', '7-1', 'abc', 'def', '0f', '1 0 2 ', 'fed'];
  const asRead = reply.map((value) => (typeof value === 'string' ? Buffer.from(value) : value));

  it('takes what stream.lua says', () => {
    const info = parseStreamInfo(asRead);
    const newest = { id: parseStreamId('7-1'), digest: 'abc' };
    expect(info).toEqual(
      stream('7-1', 9, 3, '2-0', {
        first: parseStreamId('3-0'),
        newest,
        seen: 'def',
        history: '0f',
        flushes: '1 0 2 ',
        seenRead: 'fed',
      }),
    );
    expect(endOf(info)).toEqual(at('7-1', 9, { landmark: newest, history: '0f', flushes: '1 0 2 ' }));
  });

  it('takes a missing stream for an empty one', () => {
    const info = parseStreamInfo([0, '0-0', '0-0', '0', '', '', '', '', '', '', '']);
    expect(info).toEqual(NO_STREAM);
    expect(endOf(info)).toEqual({
      last: ZERO_ID,
      entriesAdded: 0,
      landmark: null,
      history: null,
      flushes: null,
      read: null,
    });
  });

  it('says that an old Redis is too old', () => {
    const old = asRead.with(3, Buffer.from(''));
    expect(() => parseStreamInfo(old)).toThrow('found no entries-added, needed: Redis 7.0 or newer');
  });

  it('throws every other error', () => {
    expect(() => parseStreamInfo(new Error('WRONGTYPE x'))).toThrow('XINFO: WRONGTYPE x');
    expect(() => parseStreamInfo('OK')).toThrow('found no list');
    expect(() => parseStreamInfo(asRead.with(0, Buffer.from('x')))).toThrow('found no number for length');
    expect(() => parseStreamInfo(asRead.with(1, Buffer.from('x')))).toThrow('a stream id');
  });
});
