/** Every link from a document to a file or a heading leads somewhere. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const documents = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md'].concat(
  readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => join('docs', file)),
);

/** As GitHub makes it from a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');

function anchorsIn(file: string): Set<string> {
  const text = readFileSync(file, 'utf8').replace(/^ *```[\s\S]*?^ *```/gm, '');
  return new Set([...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading.trim())));
}

function brokenIn(name: string, text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? join(ROOT, name) : join(ROOT, dirname(name), path);
    if (!existsSync(file)) return [target];
    return anchor !== undefined && file.endsWith('.md') && !anchorsIn(file).has(anchor) ? [target] : [];
  });
}

test.each(documents)('%s', (name) => {
  expect(brokenIn(name, readFileSync(join(ROOT, name), 'utf8'))).toEqual([]);
});

test('a link that leads nowhere is found', () => {
  expect(brokenIn('docs/x.md', '[a](no.md) [b](keys.md#no-such) [c](keys.md#times) [d](https://example.com/)')).toEqual(
    ['no.md', 'keys.md#no-such'],
  );
});

test('the list of decisions has each of them', () => {
  const list = readFileSync(join(ROOT, 'docs/decisions/README.md'), 'utf8');
  const decisions = readdirSync(join(ROOT, 'docs/decisions')).filter((file) => file !== 'README.md');
  expect(decisions.filter((file) => !list.includes(`(${file})`))).toEqual([]);
});
