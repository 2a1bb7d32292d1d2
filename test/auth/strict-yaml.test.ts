import { describe, expect, it } from 'vitest';
import { StrictYaml, valueAt, YamlAliasError } from '../../src/auth/strict-yaml.ts';

const codes = (text: string): string[] => new StrictYaml(text).faults.map(({ line, code }) => `${line} ${code}`);

describe('faults', () => {
  it.each([
    ['a: 1\nb: [2]\n', []],
    ['a: 1\nb: 2\na: 3\nc: { d: 1, d: 2 }\n', ['3 DUPLICATE_KEY', '4 DUPLICATE_KEY']],
    ['a: !x 1\nb: !y 2\n', ['1 TAG_RESOLVE_FAILED', '2 TAG_RESOLVE_FAILED']],
    ['a:\n  b: 1\n c: 2\nd: 3\ne: [\nf: 4\n', ['3 BAD_INDENT']],
    ['a:\n\tb: 1\n\tc: 2\n\td: 3\n', ['2 TAB_AS_INDENT']],
    [`${'- '.repeat(40)}x`, ['1 NESTED_TOO_DEEP']],
    [`${'? '.repeat(50_000)}x`, ['1 NESTED_TOO_DEEP']],
  ])('%.40j', (text, wanted) => {
    expect(codes(text)).toEqual(wanted);
  });

  it('takes lists in lists as far as anyone writes them', () => {
    expect(new StrictYaml(`${'- '.repeat(20)}x`).faults).toEqual([]);
  });

  it('finds the one name that is there twice among many', () => {
    const names = Array.from({ length: 5_000 }, (_, i) => `n${i}: 1\n`).join('');
    expect(codes(`${names}n7: 2\n`)).toEqual(['5001 DUPLICATE_KEY']);
  });
});

describe('content', () => {
  it('is plain, and no name reaches a prototype', () => {
    const content = new StrictYaml('__proto__: { x: 1 }\nconstructor: 2\n').content();
    expect(Object.keys(content as object).sort()).toEqual(['__proto__', 'constructor']);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
    expect(valueAt({}, ['constructor'])).toBeUndefined();
    expect(valueAt({ a: [{ b: 3 }] }, ['a', 0, 'b'])).toBe(3);
  });

  it('has no aliases', () => {
    expect(() => new StrictYaml('a: &x 1\nb: *x\n').content()).toThrow(YamlAliasError);
  });
});

describe('places', () => {
  const yaml = new StrictYaml('a:\n  - b: 1\n    c:\n      2\n  - 3\n"d e": null\n');
  const lineOf = (path: (string | number)[]): number => yaml.lineAt(yaml.offsetOf(path) ?? -1);

  it.each([
    [['a'], 1],
    [['a', 0], 2],
    [['a', 0, 'c'], 3],
    [['a', 1], 5],
    [['d e'], 6],
    [['a', 7], 1],
    [['a', 0, 'x'], 2],
    [['x', 'y'], 1],
    [[], 1],
  ])('%j is in line %i', (path, line) => {
    expect(lineOf(path)).toBe(line);
  });

  it('has none in an empty file', () => {
    expect(new StrictYaml('').offsetOf(['a'])).toBeUndefined();
  });
});
