/** Every command of `gateway` that a document names is there, whether the document is run or not. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { commandLine } from '../../src/gateway/command-line.ts';
import { commandsIn, unknownIn } from './command-tree.ts';
import { blocksOf, isCommands } from './markdown.ts';

const ROOT = new URL('../../', import.meta.url);
const program = commandLine();

const documents = ['README.md', 'CONTRIBUTING.md'].concat(
  readdirSync(new URL('docs', ROOT), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
);

/** Of a document's blocks, and of what it names in a line: `gateway drain NAME`. */
function unknownOf(name: string, markdown: string): string[] {
  const inBlocks = blocksOf(name, markdown)
    .filter(isCommands)
    .flatMap(({ at, text }) => commandsIn(text).map((named) => ({ at, named })));
  const inLines = markdown
    .split('\n')
    .flatMap((line, i) =>
      [...line.matchAll(/`(gateway [a-z][^`]*)`/g)].flatMap(([, text = '']) =>
        commandsIn(text).map((named) => ({ at: `${name}:${i + 1}`, named })),
      ),
    );
  return [...inBlocks, ...inLines].flatMap(({ at, named }) => {
    const unknown = unknownIn(named, program);
    return unknown === undefined ? [] : [`${at}: ${named.text}: ${unknown}`];
  });
}

test.each(documents)('%s', (name) => {
  expect(unknownOf(name, readFileSync(new URL(name, ROOT), 'utf8'))).toEqual([]);
});

/** Documents whose blocks say whether they are run: those that say it of one. */
const saying = documents.filter((name) => /^\s*<!-- (?:not )?run: /m.test(readFileSync(new URL(name, ROOT), 'utf8')));

test.each(saying)('%s: every block of commands says whether it is run, or why not', (name) => {
  const blocks = blocksOf(name, readFileSync(new URL(name, ROOT), 'utf8')).filter(isCommands);
  expect(blocks.filter(({ intent }) => intent.kind === 'unsaid').map(({ at }) => at)).toEqual([]);
});

test('what is not there is found', () => {
  const markdown = [
    '```sh',
    'gateway drian app-1                # a misspelt command',
    'gateway shed app-1 5 --percent | cat',
    'echo x; bin/gateway keys make > keys.yaml',
    'gateway lookup alice --server 192.0.2.1:6464 \\',
    '  --key-file keys.yaml',
    'gateway drain app-1 --json         # right',
    '```',
    'As `gateway backend put` does.',
  ].join('\n');
  expect(unknownOf('x.md', markdown)).toEqual([
    'x.md:1: gateway drian app-1: no command drian',
    'x.md:1: gateway shed app-1 5 --percent: no option --percent of shed',
    'x.md:1: gateway keys make: no command make',
    'x.md:1: gateway lookup alice --server 192.0.2.1:6464    --key-file keys.yaml: no option --key-file of lookup',
    'x.md:9: gateway backend put: no command put',
  ]);
});
