import { describe, expect, test } from 'vitest';
import { readSessionId } from '../../../src/gateway/commands/session-id.ts';
import { statusText } from '../../../src/gateway/commands/status.ts';
import { duration, listing, number, printable, table, wrapped } from '../../../src/gateway/commands/text.ts';
import { fakeStatus, zeroCounts } from '../control/fake-gateway.ts';

test.each([
  [0, '0 ms'],
  [999.4, '999 ms'],
  [1_500, '1.5 s'],
  [59_999, '59 s'],
  [60_000, '1 min'],
  [3_599_000, '59 min 59 s'],
  [3_600_000, '1 h'],
  [86_400_000 + 5_000, '1 d'],
  [400 * 86_400_000 + 3 * 3_600_000, '400 d 3 h'],
])('%d ms is %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test('numbers and tables', () => {
  expect(number(1234567)).toBe('1,234,567');
  expect(
    table([
      ['a', 1],
      ['long', 1000],
    ]),
  ).toBe('a         1\nlong  1,000');
});

describe('a table with headings', () => {
  const rows = [
    ['web-1', 'active', '0 %', '1,234'],
    ['web-10', 'draining', '12.5 %', '-'],
  ];

  test('has figures on the right', () => {
    expect(listing(['NAME', 'STATE', 'SHED', 'SESSIONS'], rows)).toBe(`\
NAME    STATE       SHED  SESSIONS
web-1   active       0 %     1,234
web-10  draining  12.5 %         -`);
  });

  test('is as wide as the terminal, by shortening names in their middle', () => {
    const long = [
      ['eu-west-1-web-0001.internal', 'active'],
      ['eu-west-1-web-0002.internal', 'down'],
      ['é'.repeat(30), ''],
    ];
    const lines = listing(['NAME', 'STATE'], long, 30).split('\n');
    expect(lines.slice(1)).toEqual([
      'eu-west-1-w…1.internal  active',
      'eu-west-1-w…2.internal  down',
      `${'é'.repeat(11)}…${'é'.repeat(10)}`,
    ]);
    // Something of a name is shown at any width.
    expect(listing(['NAME', 'STATE'], long, 5).split('\n')[1]).toBe('eu-wes…ernal  active');
    expect(listing(['NAME', 'STATE'], long)).toContain('eu-west-1-web-0001.internal  ');
  });
});

test('text is brought into lines', () => {
  expect(wrapped('one two three\n\nfour-and-more five', 8)).toBe('one two\nthree\n\nfour-and-more\nfive');
  expect(wrapped('')).toBe('');
});

test('names from elsewhere cannot steer a terminal', () => {
  expect(printable('a\u001b[2J\u0007\n\u202eb\u2028')).toBe('a\\u001b[2J\\u0007\\u000a\\u202eb\\u2028');
  expect(printable('wéb-1 €')).toBe('wéb-1 €');
});

describe('the status for people', () => {
  const start = Date.parse(fakeStatus().startedAt);

  test('all of it', () => {
    expect(statusText(fakeStatus(), start + 11_640_000)).toBe(
      `\
gateway        0.1.0, process 4711, up 3 h 14 min, ready
configuration  /etc/session-gateway/gateway.yaml
interfaces     eth0 (native)
answers on     UDP port 6464 of 192.0.2.1, 2001:db8::1
sessions       12 of 1,000 (1.2 %); 3 REFUSED since the table was made, because it was full: raise sessions.capacity
age            in step with Redis 1.5 s ago
redis          redis://127.0.0.1:6379/0, following (full load for reconcile: 2 sessions so far)
feed           at 1700000000000-5, 2 behind, set 10, del 2
backends       2 known; UNKNOWN, but named by sessions: web-9 (3 sessions); WRONG: web-3: id: found nothing, allowed: an integer (its users stay, nobody else is sent there)
denied         3 sessions; 1 WRONG and left out
facts          not read yet
keys           7 edge
last failure   808 d 13 h ago: connect ECONNREFUSED
problems       feed-op 1, since the start
latency        FOUND 640 ns (99 %: 1,048,576 ns)
packets
  DROP_TAG      2
  REPLY_FOUND  42`,
    );
  });

  test.each([
    ['connecting', 200_000, 'ready, but NOT CONNECTED to Redis for 3 min 20 s'],
    ['connecting', null, 'ready, but NOT CONNECTED to Redis'],
    ['resyncing', 200_000, 'ready'],
  ] as const)('%s after %j ms', (state, ageMs, text) => {
    const status = fakeStatus();
    const [first] = statusText({ ...status, ageMs, sync: { ...status.sync, state } }, start).split('\n');
    expect(first).toBe(`gateway        0.1.0, process 4711, up 0 ms, ${text}`);
  });

  test.each([
    ['', 'notifications  1,200 received, 800 keys read, 3 waiting'],
    [null, 'notifications  1,200 received, 800 keys read, 3 waiting; not known whether Redis sends all that is needed'],
    ['Kg$', 'notifications  REDIS DOES NOT SEND Kg$: only full comparisons find changes; see gateway doctor'],
  ])('followed by notifications, of which %j are missing', (missing, line) => {
    const status = fakeStatus();
    const notifications = { missing, pending: 3, events: 1_200, reads: 800 };
    const text = statusText({ ...status, sync: { ...status.sync, notifications } }, start);
    expect(text.split('\n')).toContain(line);
    expect(text).not.toContain('\nfeed ');
  });

  test('nothing of it', () => {
    const status = fakeStatus();
    const text = statusText(
      {
        ...status,
        ready: false,
        refused: 0,
        ageMs: null,
        interfaces: [{ name: 'eth0', mode: 'missing' }],
        addresses: [],
        keys: [],
        packets: zeroCounts(),
        sync: {
          ...status.sync,
          state: 'connecting',
          position: null,
          lagEntries: null,
          lastError: null,
          resync: null,
          backends: { known: 0, faults: [], unknown: [] },
          entries: {},
          problems: {},
        },
      },
      start,
    );
    expect(text).toBe(`\
gateway        0.1.0, process 4711, up 0 ms, NOT READY: the first load is not finished
configuration  /etc/session-gateway/gateway.yaml
interfaces     eth0 (missing)
answers on     UDP port 6464 of no address
sessions       12 of 1,000 (1.2 %)
age            never in step with Redis
redis          redis://127.0.0.1:6379/0, connecting
feed           at nothing yet
backends       NONE KNOWN: no session is found
denied         3 sessions; 1 WRONG and left out
facts          not read yet
keys           none: nobody can ask
latency        FOUND 640 ns (99 %: 1,048,576 ns)
packets  none yet`);
  });
});

describe('a session id', () => {
  async function* chunks(...parts: (string | Buffer)[]): AsyncGenerator<Buffer> {
    for (const part of parts) yield Buffer.from(part as string);
  }
  const nothing = chunks();

  test.each(['abc', 'ü€', ' with space ', '--', 'x'.repeat(1024)])('as an argument: %j', async (sid) => {
    expect(await readSessionId(sid, nothing)).toBe(sid);
  });

  test.each([
    [['abc'], 'abc'],
    [['abc\n'], 'abc'],
    [['abc\r\n'], 'abc'],
    [['abc\n\n'], 'abc\n'],
    [['a', 'b', 'c\r', '\n'], 'abc'],
    [['\ufeffabc'], '\ufeffabc'],
    [[`${'x'.repeat(1024)}\r\n`], 'x'.repeat(1024)],
  ])('on standard input: %j', async (parts, sid) => {
    expect(await readSessionId('-', chunks(...parts))).toBe(sid);
  });

  test.each([[''], ['x'.repeat(1025)], ['ü'.repeat(513)]])('refused: %.10j', async (sid) => {
    await expect(readSessionId(sid, nothing)).rejects.toMatchObject({ code: 'SESSION_ID_INVALID', exitStatus: 2 });
  });

  test('a stream without an end is not read to it', async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 1_000; i++) yield Buffer.alloc(100, 'x');
      throw new Error('read on');
    }
    await expect(readSessionId('-', endless())).rejects.toMatchObject({ code: 'SESSION_ID_INVALID' });
  });

  test('a character that is cut by a chunk is put together', async () => {
    const bytes = Buffer.from('€');
    expect(await readSessionId('-', chunks(bytes.subarray(0, 1), bytes.subarray(1)))).toBe('€');
  });
});
