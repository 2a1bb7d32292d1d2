/** Versions and release notes: what names the version agrees, here and now, and each kind of disagreement is found. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { changelog as debianChangelog, debianVersion } from '../../packaging/debian/control.ts';
import { ROOT } from '../../packaging/package-folder.ts';
import { sectionOf, sections } from '../../packaging/release/changelog.ts';
import { problems, type Release } from '../../packaging/release/consistency.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const CHANGELOG = `# Changelog

Words before.

## [Unreleased]

### Added

- Something
  in two lines.

## [0.2.0] - 2026-12-24

### Fixed

- A fault.

## [0.1.0] - 2026-11-30

First.
`;

test('this tree agrees with itself', () => {
  const release = {
    manifest: read('package.json'),
    lock: read('package-lock.json'),
    changelog: read('CHANGELOG.md'),
    kubernetes: read('packaging/kubernetes/session-gateway.yaml'),
  };
  expect(problems(release, false)).toEqual([]);
});

describe('what does not agree is found', () => {
  const lock = (version: string) => JSON.stringify({ version, packages: { '': { version } } });
  const good: Release = {
    manifest: '{ "version": "0.2.0" }',
    lock: lock('0.2.0'),
    changelog: CHANGELOG.replace(/### Added\n\n- Something\n {2}in two lines.\n/, ''),
    kubernetes: 'image: registry.example/session-gateway:0.2.0\n',
  };

  test('nothing where all is well', () => {
    expect(problems(good, true)).toEqual([]);
    expect(problems({ ...good, changelog: CHANGELOG }, false)).toEqual([]);
  });

  test.each<[string, Partial<Release>, string]>([
    ['another lock', { lock: lock('0.1.0') }, 'package-lock.json: found 0.1.0, package.json has 0.2.0'],
    ['another image', { kubernetes: 'image: session-gateway:latest' }, 'image: found latest, package.json has 0.2.0'],
    ['no image', { kubernetes: '' }, 'image: found none'],
    [
      'another image in what is to be done before',
      { kubernetes: `# docker push registry.example/session-gateway:0.1.0\n${good.kubernetes}` },
      'its top: found 0.1.0, package.json has 0.2.0',
    ],
    ['unreleased changes', { changelog: CHANGELOG }, 'found unreleased changes'],
    ['no section', { changelog: '## [Unreleased]\n' }, 'found no newest section for 0.2.0'],
    ['a version twice', { changelog: `${good.changelog}## [0.1.0] - 2026-11-30\n` }, 'found 0.1.0 twice'],
    [
      'a wrong order',
      { changelog: `${good.changelog}## [0.0.1] - 2027-01-01\n` },
      'found 0.0.1 (2027-01-01) below 0.1.0',
    ],
    [
      'unreleased below',
      { changelog: '## [0.2.0] - 2026-12-24\n\nA.\n\n## [Unreleased]\n' },
      '[Unreleased] comes first',
    ],
  ])('%s', (_, change, words) => {
    expect(problems({ ...good, ...change }, true).join('\n')).toContain(words);
  });
});

describe('the changelog', () => {
  test('has sections by version', () => {
    expect(sections(CHANGELOG).map(({ name, date }) => [name, date])).toEqual([
      ['Unreleased', null],
      ['0.2.0', '2026-12-24'],
      ['0.1.0', '2026-11-30'],
    ]);
    expect(sectionOf(CHANGELOG, '0.2.0').text).toBe('### Fixed\n\n- A fault.');
    expect(sectionOf(CHANGELOG, '0.1.0').text).toBe('First.');
  });

  test('a version that is worked on has what is unreleased; another one has nothing', () => {
    expect(sectionOf(CHANGELOG, '0.3.0').text).toContain('Something');
    expect(() => sectionOf(CHANGELOG, '0.0.9', '0.3.0')).toThrow(
      'found nothing for 0.0.9; it has Unreleased, 0.2.0, 0.1.0',
    );
  });

  test('a heading that is none is refused', () => {
    expect(() => sections('## Unreleased\n')).toThrow('found the heading "Unreleased"');
    expect(() => sections('## [1.0] - 2026-01-01\n')).toThrow('found the heading "[1.0] - 2026-01-01"');
  });

  test('becomes one of Debian', () => {
    expect(
      debianChangelog('0.2.0', sectionOf(CHANGELOG, '0.2.0'), new Date(0)),
    ).toBe(`session-gateway (0.2.0) stable; urgency=medium

  [ Fixed ]
  * A fault.

 -- session-gateway authors <session-gateway@localhost>  Thu, 24 Dec 2026 00:00:00 +0000
`);
    expect(debianChangelog('0.3.0', sectionOf(CHANGELOG, '0.3.0'), new Date(0))).toContain(`(0.3.0) UNRELEASED;`);
  });

  test('has lines of 80 characters at most for Debian, with every word', () => {
    const point = `- ${'ten letters '.repeat(20)}\n  and ${'x'.repeat(90)} more.\n- Short.`;
    const section = { name: 'Unreleased', date: null, text: `### Added\n\n${point}` };
    const all = debianChangelog('0.3.0', section, new Date(0)).split('\n').slice(2, -3);
    expect(all.filter((line) => line.length > 80)).toEqual([`    ${'x'.repeat(90)}`]);
    expect(all.at(-1)).toBe('  * Short.');
    expect(all.slice(1).join(' ').replace(/\s+/g, ' ').trim()).toBe(point.replace(/\s+/g, ' ').replaceAll('- ', '* '));
  });

  test('a release candidate comes before its release, for Debian too', () => {
    expect(debianVersion('1.0.0-rc.1')).toBe('1.0.0~rc.1');
    expect(debianVersion('1.0.0')).toBe('1.0.0');
  });
});
