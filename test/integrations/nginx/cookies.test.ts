/** Session ids come out of cookies by the Lua transforms as they do by those of src/client, which have the same names. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CookieTransformName, cookieTransforms, sessionIdIn } from '../../../src/client/transforms.ts';
import { LuaLab, luaString } from './lua-lab.ts';

let lab: LuaLab;
beforeAll(async () => {
  lab = await LuaLab.start();
});
afterAll(() => lab?.close());

const VALUES = [
  '',
  'abc',
  's:abc.sig',
  's%3Aabc.sig',
  's%3Aabc.si%2Eg',
  's%3aabc%2Esig',
  's:a.b.c.sig',
  's:.sig',
  's:abc.',
  's:abc',
  's:.',
  's:',
  'S:abc.sig',
  'j:{"a":1}',
  's%3Aab%zz.sig',
  's%3Aab%.sig',
  's%3Aab%2',
  's%3A%C3%A9t%C3%A9.sig',
  's%3A%C3.sig',
  's%3A%ED%A0%80.sig',
  's%3A%C0%80.sig',
  's%3A%F0%9F%98%80.sig',
  's%3A%F4%90%80%80.sig',
  's%3A%00.sig',
  '%',
  '%41',
  'YWJj',
  'YWI=',
  'YWI',
  'YWI%3D',
  'YQ==',
  'YQ',
  'YR==',
  'YQ=',
  'YQ===',
  '=',
  '==',
  '====',
  'A',
  'AAAAA',
  '-_-_',
  '+/+/',
  '+/-_',
  'YW Jj',
  'YWJj\n',
  '*',
  'x'.repeat(4096),
  'x'.repeat(4097),
  `s:${'x'.repeat(4000)}.sig`,
];

test.each(Object.keys(cookieTransforms) as CookieTransformName[])('%s', async (name) => {
  const expected = VALUES.map((value) => {
    const id = sessionIdIn(value, cookieTransforms[name]);
    return id === undefined ? '-' : Buffer.from(id).toString('hex');
  });
  const out = await lab.run(`
    local transforms = require "session_gateway.transforms"
    local found = {}
    for i, value in ipairs { ${VALUES.map(luaString).join(', ')} } do
      local id = transforms.session_id(value, transforms.by_name["${name}"])
      found[i] = id and hex(id) or "-"
    end
    return table.concat(found, "\\n")`);
  expect(out.split('\n')).toEqual(expected);
  expect(new Set(expected).size).toBeGreaterThan(2);
});

test('a function may be the transform, and what it returns that is no text is none', async () => {
  const out = await lab.run(`
    local session_id = require("session_gateway.transforms").session_id
    local results = {}
    for i, transform in ipairs {
      function(value) return value:sub(2) end, function() return nil end, function() return 7 end, function() return "" end,
    } do results[i] = tostring(session_id("abc", transform)) end
    return table.concat(results, " ")`);
  expect(out).toBe('bc nil nil nil');
});
