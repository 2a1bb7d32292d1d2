import { describe, expect, test } from 'vitest';
import { figuresJson } from '../../../src/gateway/commands/top.ts';
import type { BackendView } from '../../../src/gateway/ports.ts';
import { eventText, type SeenEvent } from '../../../src/gateway/top/event-reader.ts';
import { ratesBetween, type Sample, type SeenStatus } from '../../../src/gateway/top/figures.ts';
import { columnsOf, cut, lineText } from '../../../src/gateway/top/line.ts';
import { divided, type Look, render, renderWhole, sortedBackends } from '../../../src/gateway/top/render.ts';
import { ASCII, BLOCKS, sparkline } from '../../../src/gateway/top/sparkline.ts';
import {
  EVENTS_MAX,
  HISTORY_MAX,
  INITIAL,
  type TopState,
  withEvent,
  withInput,
  withSample,
  withSilence,
} from '../../../src/gateway/top/state.ts';
import { FAKE_KEY, fakeStatus, zeroCounts } from '../control/fake-gateway.ts';

const WALL_MS = 1_800_000_000_000;

function backend(id: number, more: Partial<BackendView> = {}): BackendView {
  const record = { name: `web-${id}`, id, address: `10.0.0.${id}:80`, state: 'active', weight: 100, shed: 0 } as const;
  return { ...record, share: 0.25, sessions: 10 * id, lookupsPerSecond: 1_000 - id, ...more };
}

/** A look at `seconds`, when so many packets had had each verdict. */
function sample(seconds: number, packets: Record<string, number> = {}, more: Partial<SeenStatus> = {}): Sample {
  const keys = [{ ...FAKE_KEY, uses: undefined }];
  const others = { latency: undefined, responder: undefined, keys };
  const status = {
    ...fakeStatus(),
    ...others,
    packets: { ...zeroCounts(), ...packets },
    ...more,
  } as unknown as SeenStatus;
  const backends = { backends: [backend(1), backend(10), backend(2)], faults: [] };
  return { atMs: seconds * 1_000, wallMs: WALL_MS + seconds * 1_000, status, backends, backendsProblem: null };
}

function look(width: number, height: number, more: Partial<Look> = {}): Look {
  return { width, height, hasColours: false, ramp: BLOCKS, nowMs: WALL_MS, staleAfterMs: 10_000, ...more };
}

const stateOf = (...samples: Sample[]): TopState => samples.reduce(withSample, INITIAL);

describe('rates', () => {
  test('are of the time between two looks', () => {
    const before = sample(0, { REPLY_FOUND: 10, DROP_TAG: 5 });
    const rates = ratesBetween(before, sample(2, { REPLY_FOUND: 70, REPLY_PLACED: 20, DROP_TAG: 6, PASS_OTHER: 99 }));
    expect(rates).toMatchObject({ answers: 40, dropped: 0.5, hits: 0.75, latency: null });
    expect(rates?.byVerdict).toMatchObject({ REPLY_FOUND: 30, REPLY_PLACED: 10 });
  });

  test('are not known at first, over another daemon, and over other maps', () => {
    expect(ratesBetween(null, sample(1))).toBeNull();
    expect(ratesBetween(sample(0, {}, { pid: 1 }), sample(1))).toBeNull();
    expect(ratesBetween(sample(0, { REPLY_FOUND: 9 }), sample(1, { REPLY_FOUND: 8 }))).toBeNull();
    expect(ratesBetween(sample(1), sample(1))).toBeNull();
  });

  test('count what the daemon answers in the place of the kernel', () => {
    const responder = (answers: number) => ({ responder: { REPLY_FOUND: answers } }) as object;
    const rates = ratesBetween(sample(0, {}, responder(5)), sample(1, { REPLY_FOUND: 2 }, responder(10)));
    expect(rates).toMatchObject({ answers: 7, hits: 1 });
  });

  test('who is denied is neither a hit nor none', () => {
    const packets = { REPLY_FOUND: 3, REPLY_NOT_FOUND: 1, REPLY_DENIED: 4 };
    expect(ratesBetween(sample(0), sample(1, packets))).toMatchObject({ answers: 8, hits: 0.75 });
  });

  test('no lookups have no hits', () => {
    expect(ratesBetween(sample(0), sample(1, { DROP_MAGIC: 3 }))).toMatchObject({ answers: 0, dropped: 3, hits: null });
  });

  test('quantiles are of what was timed in between, by the upper bounds of buckets', () => {
    const timed = (...buckets: [number | null, number][]) => ({
      latency: { byStatus: { FOUND: { count: 1, buckets } } },
    });
    const before = sample(0, {}, timed([500, 1_000], [1_000, 7]) as object);
    const now = sample(1, {}, timed([500, 1_000], [1_000, 105], [2_000, 1], [null, 1]) as object);
    expect(ratesBetween(before, now)?.latency).toEqual({ p50Ns: 1_000, p99Ns: 2_000 });
    expect(ratesBetween(now, { ...now, atMs: 5_000 })?.latency).toEqual({ p50Ns: null, p99Ns: null });
  });
});

describe('what is remembered', () => {
  test('is bounded', () => {
    let state = INITIAL;
    for (let i = 0; i < 2 * HISTORY_MAX; i++) state = withEvent(withSample(state, sample(i)), `event ${i}`, i);
    expect(state.history).toHaveLength(HISTORY_MAX);
    expect(state.events).toHaveLength(EVENTS_MAX);
    expect(state.events.at(-1)?.text).toBe(`event ${2 * HISTORY_MAX - 1}`);
  });

  test('has silence as such, and tells of its beginning and end once', () => {
    let state = stateOf(sample(0));
    state = withSilence(withSilence(state, 'gone', 5), 'still gone', 9);
    expect(state).toMatchObject({
      away: { reason: 'still gone', sinceMs: 5 },
      rates: null,
      history: [null, null, null],
    });
    state = withSample(state, sample(9, { REPLY_FOUND: 1_000 }));
    expect(state).toMatchObject({ away: null, rates: null });
    expect(state.events.map(({ text }) => text)).toEqual(['the daemon does not answer', 'the daemon answers again']);
  });

  test('tells of another daemon, of a full table and of failures', () => {
    const { sync } = fakeStatus();
    const failed = { sync: { ...sync, lastError: { message: 'broken', timeMs: 7 } } };
    const state = stateOf(sample(0), sample(1, {}, { pid: 12, refused: 8, ...failed }));
    expect(state.events.map(({ text }) => text)).toEqual([
      'another daemon answers: process 12',
      '5 sessions found the table full',
      'broken',
    ]);
  });

  test('keys', () => {
    const keys = (text: string) => withInput(INITIAL, text);
    expect(keys('q').isOver).toBe(true);
    expect(keys('\u0003').isOver).toBe(true);
    expect(keys('p').state.isPaused).toBe(true);
    expect(keys('pp').state.isPaused).toBe(false);
    expect(keys('s').state.sort).toBe('lookups');
    expect(keys('ssss').state.sort).toBe('name');
    expect(keys('?').state.showsHelp).toBe(true);
    expect(withInput(keys('?').state, '\u001b').state.showsHelp).toBe(false);
    expect(keys('\u001b[Aq')).toEqual({ state: INITIAL, isOver: false });
    expect(keys('x\u0000é')).toEqual({ state: INITIAL, isOver: false });
  });
});

describe('sparklines', () => {
  test('are over the highest that is shown, the newest at the right', () => {
    expect(sparkline([0, 1, 4, 8], 4, BLOCKS)).toBe(' ▁▄█');
    expect(sparkline([100, 1, 2], 2, BLOCKS)).toBe('▄█');
    expect(sparkline([null, 5], 4, BLOCKS)).toBe('   █');
    expect(sparkline([1, 8], 2, ASCII)).toBe('.@');
    expect(sparkline([], 3, BLOCKS)).toBe('   ');
    expect(sparkline([1], 0, BLOCKS)).toBe('');
  });
});

describe('lines', () => {
  test('fit, whatever is in them', () => {
    expect(cut('abcdef', 4)).toBe('abc…');
    expect(cut('漢字漢字', 5)).toBe('漢字…');
    expect(columnsOf('e\u0301漢')).toBe(3);
    expect(lineText(['ab', ['red', 'cdef']], 4, false)).toBe('abc…');
    expect(lineText(['ab', ['red', 'c']], 4, true)).toBe('ab\u001b[31mc\u001b[0m');
    expect(cut('abc', 0)).toBe('');
  });
});

test('room is given to all their least first, then to all their most, in order', () => {
  const wanted = [
    { least: 2, most: 5 },
    { least: 4, most: 9 },
    { least: 1, most: 1 },
  ];
  expect(divided(100, wanted)).toEqual([5, 9, 1]);
  expect(divided(9, wanted)).toEqual([4, 4, 1]);
  expect(divided(5, wanted)).toEqual([4, 0, 1]);
  expect(divided(0, wanted)).toEqual([0, 0, 0]);
});

describe('the picture', () => {
  const busy = stateOf(
    sample(0, { REPLY_FOUND: 1, DROP_GUARD: 1 }),
    sample(1, { REPLY_FOUND: 901, REPLY_NOT_FOUND: 100, DROP_GUARD: 3 }),
    sample(2, { REPLY_FOUND: 2_701, REPLY_NOT_FOUND: 200, DROP_GUARD: 3 }),
  );
  const shown = (state: TopState, width = 80, height = 24, more: Partial<Look> = {}) =>
    render(state, look(width, height, more)).join('\n');

  test.each([
    [80, 24],
    [40, 12],
    [200, 60],
    [20, 5],
    [3, 2],
    [1, 1],
  ])('is %i by %i', (width, height) => {
    let states = [INITIAL, busy, withSilence(busy, 'x'.repeat(500), WALL_MS), withInput(busy, '?').state];
    states = [...states, withEvent(busy, '漢'.repeat(300), WALL_MS)];
    for (const state of states) {
      const lines = render(state, look(width, height));
      expect(lines).toHaveLength(height);
      for (const line of lines) expect(columnsOf(line)).toBeLessThanOrEqual(width);
    }
  });

  test('has rates by answer with sparklines, hits, sessions, backends, keys and events', () => {
    const text = shown(withEvent(busy, 'something happened', WALL_MS));
    expect(text).toMatch(/^lookups\/s +1,900 +▅█$/m);
    expect(text).toMatch(/^ {2}found +1,800 +▄█$/m);
    expect(text).toMatch(/^ {2}not found +100 +██$/m);
    expect(text).toMatch(/^dropped +0 +█ $/m);
    expect(text).toMatch(/^hits +94\.7 %/m);
    expect(text).toMatch(/sessions 12 of 1,000 \(1\.2 %\) {2}3 refused/);
    expect(text).toMatch(/ready {2}following, 2 behind {2}age 1\.5 s/);
    expect(text).toMatch(/^web-2 +active +998 +25\.0 % +20 /m);
    expect(text).toContain('keys  7 edge');
    expect(text).toContain('something happened');
    expect(text).not.toMatch(/p50|denied/);
  });

  test('keeps what matters most at 40 by 12', () => {
    const text = shown(busy, 40, 12);
    for (const part of [/lookups\/s/, /hits/, /ready/, /sessions 12 of/, /web-1/, /q quit/]) expect(text).toMatch(part);
  });

  test('says that the daemon is away, and that it was never there', () => {
    const away = withSilence(busy, 'no gateway is running', WALL_MS - 65_000);
    expect(shown(away)).toContain('DAEMON AWAY for 1 min 5 s; the kernel goes on answering: no gateway is running');
    expect(shown(withSilence(INITIAL, 'no gateway', WALL_MS))).toContain('DAEMON AWAY for 0 ms: no gateway');
    expect(shown(INITIAL)).toContain('waiting for the daemon');
  });

  test('says why backends are not known, which entries are wrong, and how many are not shown', () => {
    const without = { ...sample(1), backends: null, backendsProblem: 'Redis is away' };
    expect(shown(stateOf(without))).toContain('backends are not known: Redis is away');
    const wrong = { backends: [backend(1)], faults: [{ name: 'bad\u001b', message: 'id: found nothing' }] };
    expect(shown(stateOf({ ...sample(1), backends: wrong }))).toContain('bad\\u001b: id: found nothing');
    const many = { backends: Array.from({ length: 500 }, (_, i) => backend(i + 1)), faults: [] };
    expect(shown(stateOf({ ...sample(1), backends: many }))).toMatch(/… and \d+ more/);
  });

  test('has latency where the daemon tells', () => {
    const buckets = [[600, 5]];
    const timed = { latency: { byStatus: { FOUND: { count: 5, buckets } } } } as object;
    const none = { latency: { byStatus: {} } } as object;
    expect(shown(stateOf(sample(0, {}, none), sample(1, {}, timed)))).toContain(
      'in the kernel: p50 600 ns, p99 600 ns',
    );
  });

  test('has how often keys are used where the daemon tells', () => {
    const used = (uses: number) => ({ keys: [{ ...FAKE_KEY, uses }] });
    expect(shown(stateOf(sample(0, {}, used(5)), sample(2, {}, used(2_405))))).toContain('keys  7 edge 1,200/s');
    expect(shown(stateOf(sample(0, {}, used(5)), sample(2, {}, used(4))))).toMatch(/keys {2}7 edge$/m);
  });

  test('has colours only where they are wanted, and obeys nobody else', () => {
    expect(shown(busy)).not.toContain('\u001b');
    expect(shown(busy, 80, 24, { hasColours: true })).toContain('\u001b[32mready\u001b[0m');
  });

  test('sorts backends', () => {
    const views = [backend(10), backend(2, { lookupsPerSecond: null }), backend(1, { share: 0.5 })];
    const names = (sort: Parameters<typeof sortedBackends>[1]) => sortedBackends(views, sort).map(({ id }) => id);
    expect(names('name')).toEqual([1, 2, 10]);
    expect(names('lookups')).toEqual([1, 10, 2]);
    expect(names('stored')).toEqual([10, 2, 1]);
    expect(names('share')).toEqual([1, 2, 10]);
  });

  test('as a whole leaves nothing out', () => {
    const many = { backends: Array.from({ length: 100 }, (_, i) => backend(i + 1)), faults: [] };
    const text = renderWhole(stateOf(sample(0), { ...sample(1), backends: many }), look(80, 0)).join('\n');
    expect(text).toContain('web-100');
    expect(text).not.toContain('q quit');
  });

  test('in JSON has numbers', () => {
    const [before, now] = [sample(0), sample(1, { REPLY_FOUND: 3 })];
    expect(figuresJson(now, ratesBetween(before, now))).toMatchObject({
      ready: true,
      sessions: 12,
      answersPerSecond: 3,
      hits: 1,
      packetsPerSecond: { REPLY_FOUND: 3 },
      backends: [{ name: 'web-1' }, { name: 'web-10' }, { name: 'web-2' }],
      keys: [{ id: 7, name: 'edge', valid: true, requestsPerSecond: null }],
    });
    expect(figuresJson(before, null)).toMatchObject({ answersPerSecond: null, hits: null });
  });
});

describe('events', () => {
  test('in words', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    expect(eventText({ type: 'backends', names, others: 3 })).toBe('backends changed: a, b, c, d, e and 4 more');
    expect(eventText({ type: 'backends', names: ['a'], others: 0 })).toBe('backends changed: a');
    expect(eventText({ type: 'fact', nameHash: '0123456789', hex: null })).toBe('a fact was removed (01234567…)');
    expect(eventText({ type: 'denied', changes: 1 })).toBe('1 session was denied or allowed again');
    expect(eventText({ type: 'lost', events: 3 })).toBe('3 events were left out');
    expect(eventText({ type: 'other' } as unknown as SeenEvent)).toBeUndefined();
  });
});
