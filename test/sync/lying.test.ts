/** Replies that no Redis gives: each is refused as such, nothing of it is kept, and the sync goes on once there are right ones again. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DENIED_SCRIPT, PAGE_SCRIPT } from '../../src/sync/redis/scripts.ts';
import { cookieHash, FEED, NAMES, newSync, PREFIX, type Running, until, untilInStep } from './harness.ts';
import { type Command, PlayedRedis } from './played-redis.ts';
import type { Value } from './replies.ts';

type Part = 'page' | 'entries' | 'denied';
const BACKEND = JSON.stringify({ id: 1, address: '10.0.0.1:80', state: 'active', weight: 100, shed: 0 });
const SET = ['op', 'set', 'sid', 'new', 'backend', 'web-1', 'expires', '0'];
const entriesOf = (...ids: string[]): Value => [[FEED, ids.map((id) => [id, SET])]];
const RIGHT: Readonly<Record<Part, Value>> = {
  page: ['0', '13-0', ...['old', 'new'].flatMap((sid) => [PREFIX + sid, 'web-1', -1])],
  entries: entriesOf('11-0', '12-0', '13-0'),
  denied: ['0', cookieHash('out'), 8_000_000_000_000],
};

let answers: Record<Part, Value>;
let played: PlayedRedis;
let running: Running;

function answer(command: Command): Value {
  const [name, script, , key] = command;
  if (name === 'XREAD') return command.at(-1) === '10-0' ? answers.entries : null;
  if (name !== 'EVAL_RO' && name !== 'EVALSHA_RO') return 'OK';
  if (script === PAGE_SCRIPT.sha1) return answers.page;
  if (script === DENIED_SCRIPT.text) return answers.denied;
  if (key === FEED) {
    // Three entries come after the first check.
    const [last, added] = running.sync.status().position === null ? ['10-0', '10'] : ['13-0', '13'];
    return [13, last, '0-0', added, '', '', '', '', '', '', ''];
  }
  return key === `${NAMES}backends` ? ['web-1', BACKEND] : [];
}

beforeEach(async () => {
  answers = { ...RIGHT };
  played = await PlayedRedis.start(answer);
  running = newSync(played);
});

afterEach(async () => {
  await running.sync.stop();
  await played.stop();
});

it.each<[string, Part, Value]>([
  ['an end below any mark', 'page', ['0', '13-0', `${PREFIX}bad`, 'web-1', -6]],
  ['a mark beside a value', 'page', ['0', '13-0', `${PREFIX}bad`, 'web-1', -5]],
  ['a page of no id', 'page', ['0', '13', `${PREFIX}bad`, 'web-1', -1]],
  ['an id that is none, in mid-reply', 'entries', entriesOf('11-0', '1/-0', '13-0')],
  ['an id of letters, in mid-reply', 'entries', entriesOf('11-0', 'a-b', '13-0')],
  ['a time before all time', 'denied', ['0', cookieHash('bad'), -1]],
  ['no number for a time', 'denied', ['0', cookieHash('bad'), 'x']],
])('%s', async (_title, part, lie) => {
  answers[part] = lie;
  const { sync, table } = running;
  sync.start();
  await until('refused', () => sync.status().lastError !== null);
  expect(sync.status().lastError?.message).toMatch(/^(a page|a page of revoked sessions|a stream id): found/);
  expect(table.inStepMs).toBeNull();
  answers[part] = RIGHT[part];
  await untilInStep(running);
  expect(table.live()).toEqual(new Map(['old', 'new'].map((sid) => [cookieHash(sid), '1 until 0'])));
  expect([...table.denied().keys()]).toEqual([cookieHash('out')]);
});
