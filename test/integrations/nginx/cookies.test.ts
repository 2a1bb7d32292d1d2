/** Session ids come out of requests by the Lua as they do by src/client: the header's cookie, and what is in its value. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cookieValue } from '../../../src/client/cookies.ts';
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

test('the same cookie is taken of any header', async () => {
  const header = fc.string({ unit: fc.constantFrom('sid', 's', '=', ';', '"', ',', ' ', '\t', 'SID'), maxLength: 24 });
  const headers = ['', 'sid', 'sid=a', 'sid="a"', 'sid="', ...fc.sample(header, 2_000)];
  const expected = headers.map((text) => {
    const value = cookieValue(text, 'sid');
    return value === undefined ? '-' : `=${Buffer.from(value).toString('hex')}`;
  });
  const out = await lab.run(`
    local cookies = require "session_gateway.cookies"
    local found = {}
    for i, header in ipairs { ${headers.map(luaString).join(', ')} } do
      local value = cookies.value(header, "sid")
      found[i] = value and "=" .. hex(value) or "-"
    end
    return table.concat(found, "\\n")`);
  expect(out.split('\n')).toEqual(expected);
  expect(new Set(expected).size).toBeGreaterThan(20);
  expect(await lab.run('return tostring(require("session_gateway.cookies").value(nil, "sid"))')).toBe('nil');
});
