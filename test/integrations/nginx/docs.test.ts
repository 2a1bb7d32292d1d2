/** What docs/integrations.md says of nginx is what the module has: its options, its outcomes, its counters, its configuration. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const docs = read('docs/integrations.md');
const nginx = docs.split('\n## ').find((part) => part.startsWith('nginx\n')) ?? '';
const counters = read('integrations/nginx/lua/session_gateway/counters.lua');

const quoted = (text: string | undefined) => [...(text ?? '').matchAll(/"(\w+)"/g)].map(([, name]) => name);

test('its options', () => {
  const lua = read('integrations/nginx/lua/session_gateway/options.lua');
  const names = quoted(/local NAMES = \{([^}]+)\}/.exec(lua)?.[1]);
  const rows = nginx.slice(nginx.indexOf('### Options'), nginx.indexOf('### Facts'));
  const documented = [...rows.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  expect(documented.toSorted()).toEqual(names.toSorted());
  expect(names.length).toBeGreaterThan(10);
});

test('its outcomes, each once', () => {
  const names = quoted(/requests_total = \{([^}]+)\}/.exec(counters)?.[1]);
  const rows = nginx.slice(nginx.indexOf('### What goes where'), nginx.indexOf('### Options'));
  const documented = [...rows.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].flatMap(([, cell]) =>
    [...(cell ?? '').matchAll(/\w+/g)].map(([name]) => name),
  );
  expect(documented.toSorted()).toEqual(names.toSorted());
});

test('its counters', () => {
  const families = [...counters.matchAll(/^ {2}\{ "(\w+_total)"/gm)].map(([, name]) => name);
  expect(families.length).toBe(10);
  for (const family of families) expect(nginx).toContain(`${family}\``);
});

test('its configuration: every line of it is in nginx.conf', () => {
  const published = new Set(lines(read('integrations/nginx/nginx.conf')));
  const block = lines(/```nginx\n([\s\S]*?)```/.exec(nginx)?.[1] ?? '');
  expect(block.length).toBeGreaterThan(20);
  expect(block.filter((line) => !published.has(line) && !line.startsWith('proxy_set_header Connection'))).toEqual([]);
});

/** Without indentation, comments and empty ones. */
function lines(text: string): string[] {
  return text.split('\n').flatMap((line) => line.replace(/\s+(#|--).*$/, '').trim() || []);
}
