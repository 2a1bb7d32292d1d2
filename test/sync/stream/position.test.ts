import { describe, expect, it } from 'vitest';
import {
  endOf,
  findGap,
  type GapKind,
  type Landmark,
  marksOf,
  mayLack,
  type Position,
  parseStreamInfo,
  type StreamInfo,
} from '../../../src/sync/stream/position.ts';
import { compareStreamIds, parseStreamId, type StreamId, ZERO_ID } from '../../../src/sync/versions.ts';
import { seeded } from '../harness.ts';

const at = (last: string, entriesAdded: number, marks: Partial<Position> = {}): Position => ({
  last: parseStreamId(last),
  entriesAdded,
  landmark: null,
  history: null,
  flushes: null,
  read: null,
  deletedAbove: null,
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

it.each([
  ['of the same history', '6-0', 'a', 'a', true, false],
  ['of another history, not read', '6-0', 'a', 'b', true, true],
  ['of another history, read from the one before', '5-0', 'a', 'b', true, false],
  ['of another history over the same connection, read from either', '5-0', 'a', 'b', false, true],
  ['where Redis tells no history, not read, over the same connection', '6-0', null, 'b', false, false],
  ['where Redis tells no history, not read, over a new one', '6-0', 'a', null, true, true],
  ['where Redis tells no history, read', '5-0', null, null, true, false],
])('mayLack: %s', (_title, ahead, before, now, isNew, expected) => {
  const position = at('5-0', 5, { history: before });
  expect(mayLack(parseStreamId(ahead), position, stream('5-0', 5, 5, '0-0', { history: now }), isNew)).toBe(expected);
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

describe('findGap, where the id was set back below that of a deleted entry', () => {
  const set = stream('5-0', 5, 2, '9-0');

  it('finds nothing in what was there when the position was taken, and in what is added', () => {
    const position = endOf(set);
    expect(position.deletedAbove).toEqual(parseStreamId('9-0'));
    expect(findGap(position, set, 0, true)).toBeNull();
    expect(findGap(position, stream('7-0', 7, 4, '9-0'), 2, true)).toBeNull();
    expect(endOf(stream('9-0', 9, 4, '9-0')).deletedAbove).toBeNull();
  });

  it('finds an unread entry deleted by the number that rises, and else by the count', () => {
    const position = endOf(set);
    expect(findGap(position, stream('11-0', 7, 3, '10-0'), 1, false)).toBe('deleted');
    // One of three was deleted; while there is more to read than the reply has, it is not asked.
    expect(findGap(position, stream('8-0', 8, 4, '9-0'), 1, false)).toBeNull();
    expect(findGap(position, stream('8-0', 8, 4, '9-0'), 2, true)).toBe('count-differs');
    expect(findGap({ ...position, entriesAdded: 6 }, stream('8-0', 8, 4, '9-0'), 1, true)).toBe('count-differs');
  });

  it('finds one by the number that fell, as where it was set by hand', () => {
    expect(findGap(endOf(set), stream('8-0', 8, 4, '6-0'), 2, false)).toBe('deleted');
  });

  it('does not take that number for a trace of a landmark that is gone', () => {
    const there = stream('5-0', 5, 2, '9-0', {
      first: parseStreamId('4-0'),
      newest: { id: parseStreamId('5-0'), digest: 'aa' },
    });
    const gone = stream('7-0', 7, 3, '9-0', { first: parseStreamId('4-0') });
    expect(findGap(endOf(there), gone, 2, true)).toBe('replaced');
    expect(findGap(endOf(there), { ...gone, maxDeleted: parseStreamId('10-0') }, 2, true)).toBe('deleted');
  });
});

/** What Redis does to a stream (XADD, XDEL, XTRIM, XSETID), and what it says of it. Its ids are whole milliseconds. */
class PlayedStream {
  entries: { readonly ms: number; readonly digest: string }[] = [];
  #last = 0;
  #maxDeleted = 0;
  #added = 0;

  add(ms: number): string {
    this.#last = Math.max(ms, this.#last + 1);
    this.#added += 1;
    const digest = `entry ${this.#added}`;
    this.entries.push({ ms: this.#last, digest });
    return digest;
  }

  delete(at: number): void {
    const [gone] = this.entries.splice(at, 1);
    this.#maxDeleted = Math.max(this.#maxDeleted, gone?.ms ?? 0);
  }

  trim(length: number): void {
    this.entries = this.entries.slice(Math.max(0, this.entries.length - length));
  }

  /** @param share how far back of what is possible */
  setBack(share: number): void {
    const newest = this.entries.at(-1)?.ms ?? 0;
    this.#last = newest + Math.floor((1 - share) * (this.#last - newest));
  }

  get last(): number {
    return this.#last;
  }

  info(seen: Landmark | null, seenRead: Landmark | null): StreamInfo {
    const id = (ms: number): StreamId => ({ ms: BigInt(ms), seq: 0n });
    const newest = this.entries.at(-1);
    const digestOf = (mark: Landmark | null): string | null =>
      this.entries.find(({ ms }) => mark !== null && compareStreamIds(id(ms), mark.id) === 0)?.digest ?? null;
    return {
      length: this.entries.length,
      last: id(this.#last),
      maxDeleted: id(this.#maxDeleted),
      entriesAdded: this.#added,
      first: this.entries[0] ? id(this.entries[0].ms) : null,
      newest: newest ? { id: id(newest.ms), digest: newest.digest } : null,
      seen: digestOf(seen),
      seenRead: digestOf(seenRead),
      history: 'one',
      flushes: '0 0 0',
    };
  }
}

/** Reads as feed.ts does, and remembers what it has not read since its position was taken. */
class PlayedReader {
  readonly #stream: PlayedStream;
  readonly unread = new Set<string>();
  position: Position;

  constructor(played: PlayedStream) {
    this.#stream = played;
    this.position = endOf(played.info(null, null));
  }

  #take(count: number): { readonly ms: number; readonly digest: string }[] {
    const { last } = this.position;
    return this.#stream.entries.filter(({ ms }) => BigInt(ms) > last.ms).slice(0, count);
  }

  #advance(entries: readonly { readonly ms: number; readonly digest: string }[], info: StreamInfo | null): void {
    const marked = info === null ? this.position : { ...this.position, ...marksOf(info), read: null };
    const newest = entries.at(-1);
    for (const { digest } of entries) this.unread.delete(digest);
    if (newest === undefined) this.position = marked;
    else {
      const last = { ms: BigInt(newest.ms), seq: 0n };
      const read = info === null ? { id: last, digest: newest.digest } : null;
      this.position = { ...marked, last, entriesAdded: marked.entriesAdded + entries.length, read };
    }
  }

  read(count: number): void {
    this.#advance(this.#take(count), null);
  }

  /** @returns the gap found, and whether the end was reached */
  check(count: number): { gap: GapKind | null; atEnd: boolean } {
    const { landmark, read } = this.position;
    const info = this.#stream.info(landmark, read);
    const entries = this.#take(count);
    const atEnd = entries.length < count;
    const gap = findGap(this.position, info, entries.length, atEnd);
    if (gap === null) this.#advance(entries, info);
    else {
      this.position = endOf(info);
      this.unread.clear();
    }
    return { gap, atEnd };
  }
}

describe('a stream of which entries are deleted and trimmed, and whose id is set back', () => {
  it.each([1, 2, 3, 4])('is in step only where no entry was missed, and a gap is found once, seed %i', (seed) => {
    const random = seeded(seed);
    const below = (n: number): number => Math.floor(random() * n);
    const counts = { inStep: 0, gaps: 0, above: 0 };
    for (let run = 0; run < 300; run++) {
      const played = new PlayedStream();
      const reader = new PlayedReader(played);
      const changes = [
        () => {
          for (let i = below(4); i >= 0; i--) reader.unread.add(played.add(played.last + below(3)));
        },
        () => played.delete(below(played.entries.length)),
        () => played.delete(played.entries.length - 1),
        () => played.trim(below(4)),
        () => played.setBack(random()),
      ];
      for (let step = 0; step < 60; step++) {
        const draw = random();
        if (draw < 0.5) changes[below(changes.length)]?.();
        else if (draw < 0.75) reader.read(1 + below(3));
        else {
          const { gap, atEnd } = reader.check(1 + below(5));
          if (reader.position.deletedAbove !== null) counts.above += 1;
          if (gap !== null) {
            counts.gaps += 1;
            // Nothing has changed: it was made up for.
            expect(reader.check(5).gap).toBeNull();
          } else if (atEnd) {
            counts.inStep += 1;
            expect([...reader.unread]).toEqual([]);
          }
        }
      }
    }
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(100);
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
      deletedAbove: null,
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
