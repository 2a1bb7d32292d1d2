/** The feed against a Redis that the test plays, on a clock that it holds. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Problems } from '../../../src/sync/problems.ts';
import { redisTarget } from '../../../src/sync/redis/redis-target.ts';
import type { Runtime } from '../../../src/sync/runtime.ts';
import { Feed } from '../../../src/sync/stream/feed.ts';
import { BackendsTable } from '../../../src/sync/tables/backends-table.ts';
import { DeniedTable } from '../../../src/sync/tables/denied-table.ts';
import { FactsTable } from '../../../src/sync/tables/facts-table.ts';
import { DEFAULT_TUNING } from '../../../src/sync/tuning.ts';
import { FEED, NAMES, until } from '../harness.ts';
import { MemoryTable } from '../memory-table.ts';
import { type Command, PlayedRedis } from '../played-redis.ts';
import type { Value } from '../replies.ts';

/** Stands still until the test moves it. */
class HeldClock implements Runtime {
  nowMs = 1_000_000;
  readonly #timers = new Set<{ readonly dueMs: number; readonly callback: () => void }>();
  wallMs = (): number => this.nowMs;
  monotonicMs = (): number => this.nowMs;
  random = (): number => 0.5;

  timer(ms: number, callback: () => void): () => void {
    const timer = { dueMs: this.nowMs + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const timer of [...this.#timers]) {
      if (timer.dueMs <= this.nowMs && this.#timers.delete(timer)) timer.callback();
    }
  }
}

type Answers = (command: Command) => Value | Promise<Value>;

let clock: HeldClock;
let answers: { info: Answers; xread: Answers; denied: Answers };
let gaps: string[];
let failures: unknown[];
/** `id op` of each entry applied. */
let applied: string[];
let atEnds: number;
let feed: Feed;
let end: () => Promise<void>;

/** As stream.lua says it, of a stream that lost nothing. */
function infoOf(last: string, added: number): Value {
  return [added, last, '0-0', String(added), '', '', '', '', '', '', ''];
}

beforeEach(async () => {
  clock = new HeldClock();
  answers = { info: () => infoOf('10-0', 10), xread: () => null, denied: () => ['0'] };
  [gaps, failures, applied, atEnds] = [[], [], [], 0];
  const played = await PlayedRedis.start((command) => {
    const [name, , , key] = command;
    if (name === 'XREAD') return answers.xread(command);
    if (name !== 'EVAL_RO') return 'OK';
    if (key === FEED) return answers.info(command);
    return key === `${NAMES}denied` ? answers.denied(command) : [];
  });
  const nothing = (): void => undefined;
  const parts = {
    table: new MemoryTable(),
    problems: new Problems(clock, nothing),
    runtime: clock,
    pageSize: 10,
    flush: nothing,
    begun: nothing,
    readable: nothing,
  };
  feed = new Feed(
    { redis: redisTarget({ url: played.url }, clock), stream: FEED },
    {
      backends: new BackendsTable(NAMES, { read: nothing, unreadable: nothing }),
      denied: new DeniedTable(NAMES, parts),
      facts: new FactsTable(NAMES, parts),
    },
    clock,
    DEFAULT_TUNING,
    {
      connected: nothing,
      failed: (error) => failures.push(error),
      gap: (kind) => gaps.push(kind),
      apply: (batch) => {
        for (let i = 0, entry = batch.first; i < batch.length; i++, entry = batch.next(entry))
          applied.push(`${batch.slice(batch.id(entry))} ${batch.slice(batch.field(entry, 'op'))}`);
      },
      atEnd: () => {
        atEnds += 1;
      },
    },
  );
  const stopping = new AbortController();
  const running = feed.run(stopping.signal);
  end = async () => {
    stopping.abort();
    await running;
    await played.stop();
  };
});

afterEach(() => end());

/** Until so many more blocking reads were asked for. */
async function readsOn(number: number): Promise<void> {
  const { xread } = answers;
  let reads = 0;
  answers.xread = (command) => {
    reads += 1;
    return xread(command);
  };
  await until('read on', () => reads >= number);
  answers.xread = xread;
}

/** Lets time pass in steps in each of which Redis answers, so that nothing is too late. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    clock.advance(Math.min(50, left));
    await readsOn(5);
  }
}

it('does not check without pause where each check finds a gap, and reads on meanwhile', async () => {
  await until('at the end', () => atEnds > 0);
  let added = 10;
  // An entry came and went since the last check, each time.
  answers.info = () => infoOf('10-0', ++added);
  clock.advance(DEFAULT_TUNING.checkEveryMs);
  await until('found', () => gaps.length > 1);
  await readsOn(100);
  expect(gaps).toEqual(['start', 'count-differs', 'count-differs']);
  // The wait has an end, and grows.
  await pass(DEFAULT_TUNING.backoffMinMs);
  expect(gaps).toHaveLength(4);
  await pass(DEFAULT_TUNING.backoffMinMs);
  expect(gaps).toHaveLength(4);
  const before = atEnds;
  answers.info = () => infoOf('10-0', added);
  await pass(DEFAULT_TUNING.backoffMaxMs);
  expect(atEnds).toBeGreaterThan(before);
  expect(gaps).toHaveLength(4);
  expect(failures).toEqual([]);
});

it('has read the entries that it has applied, also where a table that is awaited never comes', async () => {
  await until('at the end', () => atEnds > 0);
  const asked: string[] = [];
  const entries = [
    ['11-0', ['op', 'set', 'sid', 'a', 'backend', 'web-1', 'expires', '0']],
    ['12-0', ['op', 'del', 'sid', 'a']],
    ['13-0', ['op', 'denied']],
  ] as const;
  answers.info = () => infoOf('13-0', 13);
  answers.xread = (command) => {
    const from = command.at(-1) as string;
    asked.push(from);
    const news = entries.filter(([id]) => Number.parseInt(id, 10) > Number.parseInt(from, 10));
    return news.length === 0 ? null : [[FEED, news]];
  };
  let held = false;
  answers.denied = () => {
    held = true;
    return new Promise<Value>(() => undefined);
  };
  await until('a table is awaited', () => held && applied.length > 0);
  answers.denied = () => ['0'];
  asked.length = 0;
  const before = atEnds;
  clock.advance(DEFAULT_TUNING.replyGraceMs + DEFAULT_TUNING.blockMs);
  await until('too late', () => failures.length > 0);
  clock.advance(DEFAULT_TUNING.backoffMaxMs);
  await until('at the end again', () => atEnds > before);
  expect(failures).toEqual([expect.objectContaining({ code: 'REDIS_TIMEOUT' })]);
  expect(asked[0]).toBe('13-0');
  expect(applied).toEqual(['11-0 set', '12-0 del', '13-0 denied']);
  expect(gaps).toEqual(['start']);
});
