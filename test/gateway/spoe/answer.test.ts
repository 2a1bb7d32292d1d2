/** Which variables HAProxy gets for what a gateway says. */
import { expect, test } from 'vitest';
import type { CookieLookupResult } from '../../../src/client/index.ts';
import { answer } from '../../../src/gateway/spoe/answer.ts';

const NOTHING = { status: 'NOT_FOUND', backend: null, address: null, port: null };

function clientOf(result: object): { asked: unknown[]; lookup(sid: string): Promise<CookieLookupResult> } & {
  lookupCookie(cookie: string | undefined): Promise<CookieLookupResult>;
} {
  const asked: unknown[] = [];
  const reply = async (kind: string, what: unknown): Promise<CookieLookupResult> => {
    asked.push([kind, what]);
    return result as CookieLookupResult;
  };
  return { asked, lookup: (sid) => reply('sid', sid), lookupCookie: (cookie) => reply('cookie', cookie) };
}

test("the session's cookie is asked for, or a session id as it is, which goes first", async () => {
  const client = clientOf(NOTHING);
  const cookies = 'theme=dark; connect.sid=s%3Aa.b; connect.sid=other';
  const arguments_: [string, string | number | null][][] = [
    [['cookies', cookies]],
    [['sid', 'a']],
    [
      ['sid', 'a'],
      ['cookies', cookies],
    ],
    [
      ['sid', null],
      ['cookies', cookies],
    ],
    [['sid', '']],
    [['cookies', 'theme=dark']],
    [['cookies', 7]],
    [],
  ];
  for (const each of arguments_) await answer(client, 'connect.sid', new Map(each));
  expect(client.asked).toEqual([
    ['cookie', 's%3Aa.b'],
    ['sid', 'a'],
    ['sid', 'a'],
    ['cookie', 's%3Aa.b'],
    ['cookie', undefined],
    ['cookie', undefined],
    ['cookie', undefined],
    ['cookie', undefined],
  ]);
});

test.each([
  [NOTHING, [['status', 'NOT_FOUND']]],
  [{ ...NOTHING, status: 'UNREACHABLE' }, [['status', 'UNREACHABLE']]],
  [
    { status: 'FOUND', backend: 3, address: '10.0.0.1', port: 80 },
    [
      ['status', 'FOUND'],
      ['backend', 3],
      ['address', '10.0.0.1:80'],
    ],
  ],
  [
    { status: 'NOT_FOUND', backend: 65_535, address: 'fd00::1', port: 8080 },
    [
      ['status', 'NOT_FOUND'],
      ['backend', 65_535],
      ['address', '[fd00::1]:8080'],
    ],
  ],
])('%j', async (result, variables) => {
  expect(await answer(clientOf(result), 'connect.sid', new Map([['cookie', 'x']]))).toEqual(variables);
});
