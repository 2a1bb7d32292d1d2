import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SyncError } from '../../../src/sync/errors.ts';
import { REPLY_MAX_BYTES, REPLY_VALUES_MAX } from '../../../src/sync/limits.ts';
import { Reply, ReplyError } from '../../../src/sync/redis/resp-reply.ts';
import { RespScanner } from '../../../src/sync/redis/resp-scanner.ts';
import { encodeReply, replyOf, type Value } from '../replies.ts';

const value = fc.letrec<{ one: Value }>((tie) => ({
  one: fc.oneof(
    { maxDepth: 5 },
    fc.string(),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.maxSafeInteger(),
    fc.constant(null),
    fc.string({ unit: fc.constantFrom(...'ERR no') }).map((text) => new Error(text)),
    fc.array(tie('one'), { maxLength: 6 }),
  ),
})).one;

/** What a reply is read as: strings are bytes. */
function asRead(of: Value): unknown {
  if (typeof of === 'string') return Buffer.from(of);
  if (of instanceof Error) return new ReplyError(of.message);
  return Array.isArray(of) ? of.map(asRead) : of;
}

function codeOf(bytes: string | Buffer): string {
  try {
    return `took ${new RespScanner().push(Buffer.from(bytes))}`;
  } catch (error) {
    return (error as SyncError).code;
  }
}

describe('a reply', () => {
  it('is read as what it was written from', () => {
    fc.assert(
      fc.property(value, (of) => {
        expect(replyOf(encodeReply(of)).toValue()).toEqual(asRead(of));
      }),
    );
  });

  it('may be torn anywhere, and is followed by the next one', () => {
    fc.assert(
      fc.property(value, value, fc.array(fc.nat(400), { maxLength: 20 }), (first, second, cuts) => {
        const whole = [first, second].map(encodeReply);
        const bytes = Buffer.concat(whole);
        const scanner = new RespScanner();
        const found: unknown[] = [];
        const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].sort((a, b) => a - b);
        let from = 0;
        for (const end of ends) {
          let rest = bytes.subarray(from, end);
          from = end;
          while (rest.length > 0) {
            const taken = scanner.push(rest);
            if (taken < 0) break;
            rest = rest.subarray(taken);
            found.push(new Reply(scanner.store).toValue());
            scanner.restart();
          }
        }
        expect(found).toEqual([first, second].map(asRead));
      }),
    );
  });

  it('is read when each byte comes alone', () => {
    const of = [['sessions:feed', [['1-0', ['op', 'set', 'sid', 'x'.repeat(200)]]]], null, -12, new Error('ERR no')];
    const bytes = encodeReply(of);
    const scanner = new RespScanner();
    for (let i = 0; i + 1 < bytes.length; i++) expect(scanner.push(bytes.subarray(i, i + 1))).toBe(-1);
    expect(scanner.push(bytes.subarray(-1))).toBe(1);
    expect(new Reply(scanner.store).toValue()).toEqual(asRead(of));
  });

  it('that is large leaves a scanner that reads the next one', () => {
    const scanner = new RespScanner();
    for (const of of [['x'.repeat(3 * 2 ** 20), 'y'], Array.from({ length: 200_000 }, (_, i) => `${i}`), ['z']]) {
      const bytes = encodeReply(of);
      expect(scanner.push(bytes)).toBe(bytes.length);
      // Joined: comparing lists as long as these takes many seconds.
      expect((new Reply(scanner.store).toValue() as Buffer[]).join() === of.join()).toBe(true);
      scanner.restart();
    }
  });

  it('tells which value follows another, and the error that one is', () => {
    const reply = replyOf(encodeReply([['a', [null, 'b']], new Error('WRONGTYPE x'), 'c']));
    expect(reply.after(1)).toBe(6);
    expect(reply.error(6)).toMatchObject({ name: 'ReplyError', message: 'WRONGTYPE x' });
    expect(reply.error(1)).toBeNull();
    expect(reply.slice(reply.after(6)).toString()).toBe('c');
  });
});

describe('bytes that are no reply', () => {
  it.each([
    ['another first byte', '%1\r\n'],
    ['RESP3', '_\r\n'],
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['no length', '$\r\n'],
    ['a length that is no number', '$1x\r\na\r\n'],
    ['a negative length', '$-2\r\n'],
    ['a plus sign', '*+1\r\n'],
    ['a string without its end', '$1\r\nabc'],
    ['a line without its end', ':1\rx'],
    ['an integer that is none', ':1.5\r\n'],
    ['an integer without digits', ':-\r\n'],
    ['an integer that is too long', `:${'1'.repeat(20)}\r\n`],
    ['a line that does not end', `+${'x'.repeat(70_000)}`],
    ['lists within lists', '*1\r\n'.repeat(17)],
  ])('are refused: %s', (_, bytes) => {
    expect(codeOf(bytes)).toBe('REDIS_REPLY');
  });

  it.each([
    ['more bytes than a reply may have', `$${REPLY_MAX_BYTES + 1}\r\n`],
    ['an absurd length', `$${'9'.repeat(60_000)}\r\n`],
    ['more values than a reply may have', `*${REPLY_VALUES_MAX + 1}\r\n`],
    ['as many in lists within each other', `*2\r\n*${REPLY_VALUES_MAX}\r\n${'*0\r\n'.repeat(REPLY_VALUES_MAX)}`],
  ])('are refused as too large: %s', (_, bytes) => {
    expect(codeOf(bytes)).toBe('REPLY_TOO_LARGE');
  });

  it('are never anything but refused, incomplete or read', () => {
    const pieces = [
      '$',
      '*',
      ':',
      '+',
      '-',
      '\r\n',
      '\r',
      '\n',
      '0',
      '1',
      '2',
      '-1',
      '9999999999',
      'a',
      '_',
      '$1\r\na\r\n',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 40 }), fc.nat(20), (parts, step) => {
        const bytes = Buffer.from(parts.join(''));
        const scanner = new RespScanner();
        try {
          for (let from = 0; from < bytes.length; from += step + 1) {
            const chunk = bytes.subarray(from, from + step + 1);
            const taken = scanner.push(chunk);
            expect(taken).toBeLessThanOrEqual(chunk.length);
            if (taken < 0) continue;
            new Reply(scanner.store).toValue();
            return;
          }
        } catch (error) {
          expect(error).toBeInstanceOf(SyncError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
