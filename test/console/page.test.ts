/** What the page works out, without a browser. */
import { describe, expect, test } from 'vitest';
import { Verdict } from '../../src/abi.ts';
import { attention, meanwhile } from '../../src/gateway/console/page/attention.js';
import { follow, SILENCE_MS } from '../../src/gateway/console/page/connection.js';
import { gatewayText } from '../../src/gateway/console/page/event-text.js';
import { compact, duration, nanoseconds, percent } from '../../src/gateway/console/page/format.js';
import { History, KEPT } from '../../src/gateway/console/page/history.js';
import { Latencies } from '../../src/gateway/console/page/latency.js';
import { awayPart, canLeave, previewShed, previewText } from '../../src/gateway/console/page/moves.js';
import { eventParser } from '../../src/gateway/console/page/sse.js';
import { Store } from '../../src/gateway/console/page/store.js';
import { GROUPS, grouped, hitRatio } from '../../src/gateway/console/page/verdicts.js';
import { fakeStatus, zeroCounts } from '../gateway/control/fake-gateway.ts';

const healthy = () => {
  const { sync, ...status } = fakeStatus();
  const keys = [{ ...status.keys[0], notAfterMs: null }];
  const backends = { known: 2, faults: [], unknown: [] };
  return { ...status, refused: 0, keys, sync: { ...sync, backends } };
};

test('every verdict is in one group, but what is left to the host', () => {
  for (const name of Object.keys(Verdict).filter((each) => each !== 'COUNT')) {
    const counts: Record<string, number> = grouped({ packets: { ...zeroCounts(), [name]: 3 }, responder: null });
    const groups: { id: string }[] = GROUPS;
    const sum = groups.reduce((all, { id }) => all + (counts[id] ?? 0), 0);
    expect([name, sum]).toEqual([name, name.startsWith('PASS_') ? 0 : 3]);
  }
});

describe('rates', () => {
  const stats = (atMs: number, found: number, startedAt = 'a') => {
    const packets = { ...zeroCounts(), REPLY_FOUND: found, REPLY_PLACED: found / 4 };
    return { atMs, status: { packets, startedAt, keys: [{ id: 1, uses: found }] } };
  };

  test('are over the gateway’s own clock; a new daemon and counters made anew leave a gap', () => {
    const history = new History();
    history.add(stats(1_000, 100), 0);
    expect(history.average()).toBeNull();
    history.add(stats(3_000, 500), 5);
    expect(history.average()).toMatchObject({ found: 200, placed: 50, dropped: 0 });
    expect(hitRatio(history.average())).toBe(0.8);
    expect(history.keyRates.get(1)).toBe(200);
    for (const next of [stats(4_000, 0), stats(1, 900, 'b')]) {
      history.add(next, 6);
      expect(history.points.at(-1)).toEqual({ timeMs: 6, rates: null });
    }
  });

  test('have what the daemon answered in them', () => {
    const history = new History();
    for (const [atMs, count] of [
      [1_000, 0],
      [2_000, 100],
    ] as const) {
      const packets = { ...zeroCounts(), REPLY_FOUND: count, PASS_MISS: count, REPLY_DENIED: count };
      const responder = { ...zeroCounts(), REPLY_FOUND: count / 2, REPLY_PLACED: count / 2 };
      history.add({ atMs, status: { packets, responder, startedAt: 'a', keys: [] } }, atMs);
    }
    expect(history.average()).toMatchObject({ found: 150, placed: 50, denied: 100 });
    expect(hitRatio(history.average())).toBe(0.75);
  });

  test('are kept for a while only', () => {
    const history = new History();
    for (let i = 0; i < KEPT + 50; i++) history.add(stats(i * 1_000, i * 10), i);
    expect(history.points).toHaveLength(KEPT);
    expect(history.average(10)).toMatchObject({ found: 10 });
    history.gap(9_999);
    expect(history.points.at(-1)).toEqual({ timeMs: 9_999, rates: null });
  });
});

test('a settling that ended with its daemon is told', () => {
  const store = new Store(() => 1_000);
  const stats = (startedAt: string, settle: object | null) => {
    return { atMs: 1, status: { startedAt, packets: zeroCounts(), keys: [] }, settle };
  };
  const running = { backend: 'web-1', state: 'running', moved: 1_234 };
  store.takeStats(stats('a', running));
  // It never began.
  store.takeStats(stats('a', null));
  expect(store.toasts).toEqual([]);
  store.takeStats(stats('a', running));
  store.takeStats(stats('b', null));
  const text = 'Settling web-1 ended with the gateway, after 1,234 users: settle it again.';
  expect([store.events, store.toasts]).toMatchObject([[{ text }], [{ text, isProblem: true }]]);
});

test('times in the kernel are of what was timed since the first reading, without batches', () => {
  const latencies = new Latencies();
  const latency = (count: number) => ({
    byStatus: {
      FOUND: {
        buckets: [
          [512, 5],
          [640, count],
          [null, 1],
        ],
      },
      DENIED: { buckets: [[640, count]] },
      BATCH: { buckets: [[64, 999]] },
    },
  });
  latencies.add(latency(0));
  expect(latencies.recent()).toEqual({ buckets: [], median: null, high: null });
  latencies.add(latency(50));
  // Half way through the bucket from 512 to 640.
  expect(latencies.recent()).toEqual({ buckets: [[640, 100]], median: 576, high: expect.closeTo(638.72) });
  // Made anew.
  latencies.add(latency(1));
  expect(latencies.recent()).toEqual({ buckets: [], median: null, high: null });
  latencies.add(latency(2));
  expect(latencies.recent().buckets).toEqual([[640, 2]]);
});

describe('who moves', () => {
  const backend = (name: string, fields = {}) => ({
    name,
    state: 'active',
    weight: 100,
    shed: 0,
    share: 1 / 3,
    sessions: 900,
    ...fields,
  });
  const all = [backend('a'), backend('b'), backend('c', { share: 2 / 3 })];

  test('a fraction of its users, to the others by their shares; what is shed already comes back', () => {
    expect(previewShed(all, 'a', 5_000)).toEqual({
      ...{ all: 900, own: 450, others: 0, nowhere: false },
      ...{ to: { b: 150, c: 300 }, gains: { a: -450, b: 150, c: 300 } },
    });
    expect(previewText(all, 'a', 5_000)).toBe('About 450 users of 900 will move: c 300, b 150.');
    const shedding = [backend('a', { shed: 5_000 }), ...all.slice(1)];
    expect(previewShed(shedding, 'a', 1_000)).toMatchObject({ own: -360, others: 0 });
    expect(previewText(shedding, 'a', 1_000)).toBe('About 360 users of 900 come back to it.');
  });

  test('nobody, where nobody takes them', () => {
    const others = [backend('a', { shed: 1 }), backend('b', { state: 'down', sessions: 0 }), backend('c', { shed: 1 })];
    expect(previewShed(others, 'a', 5_000)).toMatchObject({ own: 0, others: 0, nowhere: true });
    expect(previewText(others, 'a', 5_000)).toBe('No other backend takes users: nobody would move.');
    const uncounted = [backend('a', { sessions: null }), ...all.slice(1)];
    expect(previewShed(uncounted, 'a', 5_000)).toMatchObject({ all: null, own: null });
    expect(previewText(uncounted, 'a', 5_000)).toMatch(/aren’t counted/);
    expect(previewShed(all, 'gone', 5_000)).toMatchObject({ own: null });
  });

  test('others’ users too, as one that sheds takes nobody', () => {
    const draining = backend('c', { state: 'draining', share: 0, sessions: 10_000 });
    const fleet = [backend('a', { share: 0.5 }), backend('b', { share: 0.5 }), draining];
    expect(previewShed(fleet, 'a', 100)).toMatchObject({ own: 9, others: 5_000, gains: { a: -5_009, b: 5_009, c: 0 } });
    expect(previewText(fleet, 'a', 100)).toBe(
      'About 9 users of 900 will move: b 9. Besides, about 5,000 users of other backends are no longer answered with it: one that sheds takes nobody.',
    );
    const shedding = [backend('a', { share: 0.5, shed: 100 }), ...fleet.slice(1)];
    expect(previewText(shedding, 'a', 0)).toBe(
      'About 9 users of 900 come back to it. Besides, about 5,000 users of other backends are answered with it: it takes users again.',
    );
    // The only taker: everyone who is shed to it goes back.
    const last = [backend('a'), backend('b', { shed: 5_000 })];
    expect(previewText(last, 'a', 100)).toMatch(/none of its own moves\. Besides, about 450 users of other backends/);
    expect(previewShed([backend('a'), backend('b', { shed: 1, sessions: null })], 'a', 1)).toMatchObject({
      others: null,
    });
  });

  test('the part that is answered elsewhere', () => {
    expect(awayPart(backend('a', { shed: 2_500 }), all)).toBe(0.25);
    expect(awayPart(backend('a', { state: 'draining' }), all)).toBe(1);
    expect(awayPart(backend('a', { state: 'down' }), [backend('a', { state: 'down' })])).toBe(0);
    const last = [backend('a'), backend('b', { state: 'down' }), backend('c', { weight: 0 })];
    expect(['a', 'b'].map((name) => canLeave(last, name))).toEqual([false, true]);
    expect(canLeave([backend('a'), backend('b', { shed: 1 })], 'a')).toBe(true);
  });
});

test('a gateway whose clock is off is said to have one that is, while it speaks', () => {
  const member = { ready: true, state: 'following', silentMs: 2_000, clockAheadMs: -4_000 };
  const told = (change: object) => gatewayText({ ...member, ...change });
  expect(told({})).toEqual({ kind: 'good', word: 'Live', isSilent: false, clock: null });
  expect(told({ clockAheadMs: -65_000 })).toMatchObject({ kind: 'warn', clock: 'Its clock is 1 min 5 s behind' });
  expect(told({ clockAheadMs: 9_000, state: 'connecting' })).toMatchObject({
    kind: 'bad',
    clock: 'Its clock is 9.0 s ahead',
  });
  expect(told({ clockAheadMs: null })).toMatchObject({ clock: null });
  expect(told({ silentMs: 9_000, clockAheadMs: 9_000 })).toMatchObject({ word: 'Silent for 9 s', clock: null });
});

test('events come whole, however the text is cut', () => {
  const text = ': comment\n\nevent: stats\ndata: {"a":1}\n\n:\n\nevent: fact\ndata: {"b":"x: y"}\n\nevent: half';
  const expected = [
    { type: 'stats', data: { a: 1 } },
    { type: 'fact', data: { b: 'x: y' } },
  ];
  for (const size of [1, 3, 7, text.length]) {
    const parse = eventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parse(text.slice(at, at + size)));
    expect(events).toEqual(expected);
  }
});

describe('the connection', () => {
  const STATS = 'event: stats\ndata: {}\n\n';

  /** @param streams what each try gives: pieces of text, or what it fails with */
  async function run(streams: (string[] | Error)[]) {
    const ending = new AbortController();
    const told: unknown[] = [];
    const pauses: number[] = [];
    await follow({
      open: async () => {
        const next = streams.shift();
        if (streams.length === 0) ending.abort();
        if (next instanceof Error) throw next;
        const pieces = [...(next ?? [])];
        return { read: async () => ({ done: pieces.length === 0, value: pieces.shift() }) };
      },
      onEvent: ({ type }: { type: string }) => told.push(type),
      onAway: (reason: string, pauseMs: number) => {
        told.push(reason);
        pauses.push(pauseMs);
      },
      wait: async () => undefined,
      random: () => 1,
      timer: () => () => undefined,
      signal: ending.signal,
    });
    return { told, pauses };
  }

  test('is made again after an end and a refusal, ever more seldom until figures come', async () => {
    const failing = Array.from({ length: 6 }, () => new Error('no gateway is running'));
    const { told, pauses } = await run([[STATS, STATS], ...failing, [STATS], []]);
    expect(told.slice(0, 4)).toEqual(['stats', 'stats', 'it has ended the connection', 'no gateway is running']);
    expect(pauses.slice(0, 8)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 500]);
  });

  test('is given up where the token is refused', async () => {
    await expect(run([Object.assign(new Error('found another token'), { status: 401 }), []])).rejects.toThrow(
      'another token',
    );
  });

  test('is cut where no figures come, though it is open', async () => {
    const ending = new AbortController();
    const timers: { ms: number; callback: () => void }[] = [];
    const aways: string[] = [];
    await follow({
      open: async (signal: AbortSignal) => {
        // The reader of a response ends so.
        const aborted = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        queueMicrotask(() => timers.at(-1)?.callback());
        return { read: () => aborted };
      },
      onEvent: () => undefined,
      onAway: (reason: string) => {
        aways.push(reason);
        ending.abort();
      },
      wait: async () => undefined,
      random: () => 0,
      timer: (ms: number, callback: () => void) => {
        timers.push({ ms, callback });
        return () => undefined;
      },
      signal: ending.signal,
    });
    expect([timers[0]?.ms, aways]).toEqual([SILENCE_MS, ['it is silent']]);
  });
});

describe('what needs attention', () => {
  const nowMs = 1_800_000_000_000;
  const told = (change: object) => attention({ ...healthy(), ...change }, nowMs);

  test('nothing, where all is well', () => {
    expect(told({})).toEqual([]);
  });

  test.each([
    [
      'Redis away',
      { sync: { ...healthy().sync, state: 'connecting' } },
      'bad',
      /Redis can’t be reached \(connect ECONNREFUSED\)/,
    ],
    ['a stale feed', { ageMs: 3_001, staleAfterMs: 3_000 }, 'bad', /answered from 3\.0 s ago, and marked as stale/],
    [
      'no notifications',
      { sync: { ...healthy().sync, notifications: { missing: 'Kg$' } } },
      'bad',
      /doesn’t send Kg\$/,
    ],
    ['a full table', { sessions: 950 }, 'bad', /95 % full/],
    ['refused sessions', { refused: 7 }, 'warn', /7 sessions were refused/],
    ['a bad entry', { sync: fakeStatus().sync }, 'bad', /entry of backend web-3 is wrong/],
    ['generic mode', { interfaces: [{ name: 'eth0', mode: 'generic' }] }, 'warn', /generic XDP/],
    ['an interface that is gone', { interfaces: [{ name: 'eth0', mode: 'missing' }] }, 'bad', /eth0 is missing/],
    ['no key', { keys: [] }, 'bad', /no key/],
    ['a key near its end', { keys: [{ id: 7, name: 'edge', notAfterMs: nowMs + 86_400_000 }] }, 'warn', /ends in 1 d/],
    ['the first load', { ready: false }, 'warn', /first load isn’t finished/],
  ])('%s', (_, change, level, text) => {
    expect(told(change)[0]).toMatchObject({
      level,
      text: expect.stringMatching(text),
      remedy: expect.stringMatching(/\S/),
    });
  });

  test('without the daemon only the kernel answers, where it does', () => {
    const of = (...modes: string[]) => meanwhile({ interfaces: modes.map((mode) => ({ name: 'eth0', mode })) });
    expect(of('missing', 'native')).toMatch(/^The kernel goes on/);
    for (const modes of [['none'], ['missing', 'none'], []]) expect(of(...modes)).toMatch(/^Nothing answers lookups/);
    expect(meanwhile(undefined)).toMatch(/isn’t known/);
  });

  test('stale is what the configuration says, and said once', () => {
    expect(told({ ageMs: 20_000, staleAfterMs: 20_000 })).toEqual([]);
    const away = { ...healthy().sync, state: 'connecting' };
    expect(told({ ageMs: 20_000, staleAfterMs: 10_000, sync: away })).toHaveLength(1);
  });

  test('the worst comes first', () => {
    const levels = told({ ready: false, keys: [], refused: 1 }).map(({ level }: { level: string }) => level);
    expect(levels).toEqual(['bad', 'warn', 'warn']);
  });
});

test('figures for people', () => {
  expect([0, 0.4, 950, 9_994, 12_345, 4_560_000, null].map(compact)).toEqual([
    '0',
    '0.4',
    '950',
    '9,994',
    '12.3k',
    '4.6M',
    '–',
  ]);
  expect([0, 0.0001, 0.5, 0.9999, 1].map(percent)).toEqual(['0 %', '< 0.1 %', '50 %', '> 99.9 %', '100 %']);
  expect([20, 1_500, 65_000, 93_600_000].map(duration)).toEqual(['20 ms', '1.5 s', '1 min 5 s', '1 d 2 h']);
  expect([640, 1_234, 3e6].map(nanoseconds)).toEqual(['640 ns', '1.2 µs', '3 ms']);
});
