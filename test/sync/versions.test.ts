import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareStreamIds,
  formatStreamId,
  parseStreamId,
  VERSION_MS_MAX,
  VERSION_SEQ_MAX,
  VersionCell,
} from '../../src/sync/versions.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const ids = fc.record({ ms: u64, seq: u64 });

function versionOf(text: string): VersionCell {
  const cell = new VersionCell();
  cell.set(Buffer.from(text));
  return cell;
}

describe('stream ids', () => {
  it('are read and written in full', () => {
    fc.assert(
      fc.property(ids, (id) => {
        expect(parseStreamId(formatStreamId(id))).toEqual(id);
        expect(parseStreamId(Buffer.from(formatStreamId(id)))).toEqual(id);
      }),
    );
  });

  it('are ordered as one number of 128 bits', () => {
    const number = ({ ms, seq }: { ms: bigint; seq: bigint }): bigint => ms * 2n ** 64n + seq;
    const near = fc.record({ ms: fc.bigInt({ min: 0n, max: 2n }), seq: fc.bigInt({ min: 0n, max: 2n }) });
    fc.assert(
      fc.property(fc.oneof(ids, near), fc.oneof(ids, near), (a, b) => {
        const difference = number(a) - number(b);
        expect(Math.sign(compareStreamIds(a, b))).toBe(difference < 0n ? -1 : difference > 0n ? 1 : 0);
      }),
    );
  });

  it.each(['', '1', '-', '1-', '-1', '1-2-3', '+1-1', '0x1-1', '1.5-1', ' 1-1', `${'1'.repeat(21)}-0`])(
    '"%s" is none',
    (text) => {
      expect(() => parseStreamId(text)).toThrow('a stream id');
    },
  );
});

describe('versions', () => {
  it('are the id where it fits', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), fc.nat(4095), fc.nat(VERSION_SEQ_MAX), (high, low, seq) => {
        const ms = high * 4096 + low;
        expect(versionOf(`${ms}-${seq}`)).toMatchObject({ ms, seq, inexact: false, absurd: false });
      }),
    );
  });

  it.each([
    ['8796093022207-1048575', VERSION_MS_MAX, VERSION_SEQ_MAX, false, false],
    ['5-1048576', 5, VERSION_SEQ_MAX, true, false],
    ['8796093022208-0', VERSION_MS_MAX, VERSION_SEQ_MAX, true, true],
    ['18446744073709551615-18446744073709551615', VERSION_MS_MAX, VERSION_SEQ_MAX, true, true],
    ['0-0', 0, 0, false, false],
  ])('of %s', (id, ms, seq, inexact, absurd) => {
    expect(versionOf(id)).toMatchObject({ ms, seq, inexact, absurd });
  });

  it('never go down where ids go up', () => {
    fc.assert(
      fc.property(ids, ids, (a, b) => {
        const [older, newer] = compareStreamIds(a, b) <= 0 ? [a, b] : [b, a];
        const [v, w] = [versionOf(formatStreamId(older)), versionOf(formatStreamId(newer))];
        expect(v.ms < w.ms || (v.ms === w.ms && v.seq <= w.seq)).toBe(true);
      }),
    );
  });

  it.each([
    '',
    '-',
    '1',
    '1-',
    '-1',
    '1-2-3',
    '1-x',
    'x-1',
    ' 1-1',
    '1:1',
    '١-1',
    `${'1'.repeat(21)}-${'1'.repeat(21)}`,
  ])('are not made of "%s"', (text) => {
    expect(() => versionOf(text)).toThrow(expect.objectContaining({ code: 'REDIS_REPLY' }));
  });

  it('are written over', () => {
    const cell = versionOf('8796093022208-7');
    cell.set(Buffer.from('3-4'));
    expect(cell).toMatchObject({ ms: 3, seq: 4, inexact: false, absurd: false });
  });
});
