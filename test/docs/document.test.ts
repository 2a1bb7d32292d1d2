/** A fault in a document fails its test: a document with one of each kind, followed on the documents' own machines. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { follow } from './document.ts';
import { Machines } from './machines.ts';
import { blocksOf } from './markdown.ts';

let machines: Machines;
beforeAll(async () => {
  machines = await Machines.make(`docs-ft-${process.pid}`);
});
afterAll(() => machines?.close());

const block = (comment: string, language: string, ...lines: string[]): string =>
  [comment, `\`\`\`${language}`, ...lines, '```', ''].join('\n');
const found = (markdown: string): Promise<string | undefined> => follow(blocksOf('x.md', markdown), machines);

test('what is right goes through, with its files, its background and its output', async () => {
  const right = [
    block('<!-- write: /etc/some/settings, gateway, with NAME=alice -->', 'ini', 'user = NAME'),
    block('<!-- run: gateway -->', 'sh', 'grep alice /etc/some/settings', 'sleep 1000 &'),
    block(
      '<!-- run: gateway -->',
      'console',
      '$ redis-cli \\',
      '  SET a b',
      'OK',
      '$ cat /etc/some/settings',
      'user = …',
    ),
    block('<!-- run: load-balancer, exit 1 -->', 'sh', 'grep alice /etc/some/settings 2> /dev/null || exit 1'),
    block('<!-- run: gateway, until it does -->', 'sh', 'echo >> /root/tries; [ "$(wc -l < /root/tries)" -ge 3 ]'),
    block('<!-- not run: there is no such card -->', 'sh', 'ethtool -K eth7 rxvlan off'),
    block('', 'yaml', 'any: thing'),
  ];
  expect(await found(right.join('\n'))).toBeUndefined();
});

test.each([
  ['a command that fails', block('<!-- run: gateway -->', 'sh', 'true', 'gateway drain app-1'), /ends with 2, not 0/],
  ['one in a pipe', block('<!-- run: gateway -->', 'sh', 'grep x /no/such | cat'), /No such file/],
  ['one that doesn’t fail', block('<!-- run: gateway, exit 1 -->', 'sh', 'true'), /ends with 0, not 1/],
  ['other output', block('<!-- run: gateway -->', 'console', '$ echo 1', '2'), /prints something else/],
  ['output that isn’t said', block('<!-- run: gateway -->', 'console', '$ echo 1'), /prints something else/],
  ['nothing said of running it', block('', 'sh', 'true'), /no comment above/],
])('%s is told, with its place', async (_, markdown, problem) => {
  const told = await found(markdown);
  expect(told).toMatch(problem);
  expect(told).toMatch(/^x\.md:2: /);
});

test.each([
  ['no such machine', block('<!-- run: moon -->', 'sh', 'true')],
  ['no reason', block('<!-- not run: -->', 'sh', 'true')],
  ['an unknown option', block('<!-- run: gateway, twice -->', 'sh', 'true')],
  ['a word that isn’t there', block('<!-- run: gateway, with A=b -->', 'sh', 'true')],
  ['no end', '```sh\ntrue\n'],
])('a comment with %s is refused', (_, markdown) => {
  expect(() => blocksOf('x.md', markdown)).toThrow(/^x\.md:\d/);
});
