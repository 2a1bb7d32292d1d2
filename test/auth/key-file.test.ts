import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyFileError } from '../../src/auth/errors.ts';
import { parseKeyFile } from '../../src/auth/key-file.ts';
import { prf } from '../../src/auth/suites.ts';
import { SECRET, SECRET_HEX, showsSecret } from './support/keys.ts';

const MESSAGE = new TextEncoder().encode('message');
const KEY_1 = `  - id: 1\n    secret: "${SECRET_HEX}"\n`;

function refused(text: string): KeyFileError {
  try {
    parseKeyFile(text, 'keys.yaml');
  } catch (error) {
    if (error instanceof KeyFileError) return error;
    throw error;
  }
  throw new Error('taken');
}

/** A file of one key, its lines after `id` given. */
function oneKey(...lines: string[]): string {
  return ['keys:', '  - id: 1', ...lines.map((line) => `    ${line}`), ''].join('\n');
}

const GOOD_SECRET = `secret: "${SECRET_HEX}"`;

describe('parseKeyFile', () => {
  it('takes every field', () => {
    const text = `# keys of the fleet
keys:
  - id: 4294967295
    name: edge-fleet
    suite: blake2s
    secret: "${SECRET_HEX.toUpperCase()}"
    encrypt: true
    notBefore: 2026-01-31T08:00:00Z
    notAfter: "2026-01-31T10:00:00+01:00"
`;
    const keyring = parseKeyFile(text, 'keys.yaml');
    expect(keyring.toJSON()).toEqual([
      {
        id: 4294967295,
        name: 'edge-fleet',
        suite: 'blake2s',
        encrypt: true,
        notBeforeMs: 1_769_846_400_000,
        notAfterMs: 1_769_850_000_000,
      },
    ]);
    expect(keyring.get(4294967295)?.prf(MESSAGE)).toEqual(prf('blake2s', SECRET, MESSAGE));
  });

  it('fills in what may be left out', () => {
    const expected = {
      id: 1,
      name: 'key-1',
      suite: 'hmac-sha256',
      encrypt: false,
      notBeforeMs: null,
      notAfterMs: null,
    };
    expect(parseKeyFile(`keys:\n${KEY_1}`, 'k').toJSON()).toEqual([expected]);
    expect(parseKeyFile(oneKey(GOOD_SECRET, 'notBefore: null', 'notAfter: ~'), 'k').toJSON()).toEqual([expected]);
    expect(parseKeyFile(`{"keys":[{"id":1,"secret":"${SECRET_HEX}"}]}`, 'k').toJSON()).toEqual([expected]);
  });

  it('takes 256 keys and not one more', () => {
    const entries = Array.from({ length: 257 }, (_, i) => KEY_1.replace('id: 1', `id: ${i + 1}`));
    expect(parseKeyFile(`keys:\n${entries.slice(1).join('')}`, 'k').size).toBe(256);
    expect(refused(`keys:\n${entries.join('')}`).problems).toEqual([
      'keys.yaml:1: keys: found a list of 257, allowed: a list of 1 to 256 keys',
    ]);
  });

  it('takes a key that is valid for one millisecond', () => {
    const at = '2026-01-31T08:00:00Z';
    expect(parseKeyFile(oneKey(GOOD_SECRET, `notBefore: ${at}`, `notAfter: ${at}`), 'k').size).toBe(1);
  });
});

const TIMES = 'null, or an RFC 3339 time with its zone, from 1970 on, as 2026-01-31T08:00:00Z';
const DIGITS = '64 hexadecimal digits, in quotes';
const IDS = 'an integer from 1 to 4294967295';
const NAMES = '1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit';

describe('content that is refused', () => {
  it.each<[string, string, string]>([
    ['an empty file', '', 'keys.yaml: file: found nothing, allowed: the name keys and its list'],
    ['a list', '- 1', 'keys.yaml:1: file: found a list of 1, allowed: the name keys and its list'],
    ['no keys', '{}', 'keys.yaml:1: keys: found nothing, allowed: a list of 1 to 256 keys'],
    ['an empty list', 'keys: []', 'keys.yaml:1: keys: found a list of 0, allowed: a list of 1 to 256 keys'],
    ['null for a list', '\nkeys:\n', 'keys.yaml:2: keys: found nothing, allowed: a list of 1 to 256 keys'],
    ['a key that is a word', 'keys:\n  - one', 'keys.yaml:2: keys[0]: found "one", allowed: names with values'],
    [
      'an unknown name at the top',
      `keys:\n${KEY_1}key: 1`,
      'keys.yaml:4: file: found unknown name "key", allowed: keys',
    ],
    [
      'an unknown name in a key',
      oneKey(GOOD_SECRET, 'notbefore: null'),
      'keys.yaml:4: keys[0]: found unknown name "notbefore", allowed: id, name, suite, secret, encrypt, notBefore, notAfter',
    ],
    ['no id', `keys:\n  - ${GOOD_SECRET}`, `keys.yaml:2: keys[0].id: found nothing, allowed: ${IDS}`],
    ['no secret', 'keys:\n  - id: 1', `keys.yaml:2: keys[0].secret: found nothing, allowed: ${DIGITS}`],
    ['id 0', `keys:\n  - { id: 0, ${GOOD_SECRET} }`, `keys.yaml:2: keys[0].id: found 0, allowed: ${IDS}`],
    [
      'an id over 32 bits',
      `keys:\n  - { id: 4294967296, ${GOOD_SECRET} }`,
      `keys.yaml:2: keys[0].id: found 4294967296, allowed: ${IDS}`,
    ],
    [
      'a fractional id',
      `keys:\n  - { id: 1.5, ${GOOD_SECRET} }`,
      `keys.yaml:2: keys[0].id: found 1.5, allowed: ${IDS}`,
    ],
    [
      'an id in quotes',
      `keys:\n  - { id: "1", ${GOOD_SECRET} }`,
      `keys.yaml:2: keys[0].id: found "1", allowed: ${IDS}`,
    ],
    ['an empty name', oneKey('name: ""', GOOD_SECRET), `keys.yaml:3: keys[0].name: found "", allowed: ${NAMES}`],
    [
      'a name with a space',
      oneKey('name: a b', GOOD_SECRET),
      `keys.yaml:3: keys[0].name: found "a b", allowed: ${NAMES}`,
    ],
    [
      'a name that is a number',
      oneKey('name: 7', GOOD_SECRET),
      `keys.yaml:3: keys[0].name: found 7, allowed: ${NAMES}`,
    ],
    [
      'a name that is null',
      oneKey('name: null', GOOD_SECRET),
      `keys.yaml:3: keys[0].name: found nothing, allowed: ${NAMES}`,
    ],
    [
      'another suite',
      oneKey('suite: sha1', GOOD_SECRET),
      'keys.yaml:3: keys[0].suite: found "sha1", allowed: hmac-sha256 or blake2s',
    ],
    [
      'yes for true',
      oneKey('encrypt: yes', GOOD_SECRET),
      'keys.yaml:3: keys[0].encrypt: found "yes", allowed: true or false',
    ],
    [
      'a short secret',
      oneKey(`secret: "${SECRET_HEX.slice(1)}"`),
      `keys.yaml:3: keys[0].secret: found 63 characters, allowed: ${DIGITS}`,
    ],
    [
      'a long secret',
      oneKey(`secret: "${SECRET_HEX}0"`),
      `keys.yaml:3: keys[0].secret: found 65 characters, allowed: ${DIGITS}`,
    ],
    [
      'other characters',
      oneKey(`secret: "0x${SECRET_HEX.slice(2)}"`),
      `keys.yaml:3: keys[0].secret: found 64 characters, 1 of them not hexadecimal digits, allowed: ${DIGITS}`,
    ],
    [
      'a secret that YAML takes for a number',
      oneKey(`secret: ${'12345678'.repeat(8)}`),
      `keys.yaml:3: keys[0].secret: found a number: digits without quotes are one, allowed: ${DIGITS}`,
    ],
    [
      'a secret in a list',
      oneKey(`secret: ["${SECRET_HEX}"]`),
      `keys.yaml:3: keys[0].secret: found a list of 1, allowed: ${DIGITS}`,
    ],
    [
      'a time without a zone',
      oneKey(GOOD_SECRET, 'notBefore: 2026-01-31T08:00:00'),
      `keys.yaml:4: keys[0].notBefore: found "2026-01-31T08:00:00", allowed: ${TIMES}`,
    ],
    [
      'a day that does not exist',
      oneKey(GOOD_SECRET, 'notAfter: 2026-02-30T08:00:00Z'),
      `keys.yaml:4: keys[0].notAfter: found "2026-02-30T08:00:00Z", allowed: ${TIMES}`,
    ],
    [
      'a time before 1970',
      oneKey(GOOD_SECRET, 'notAfter: 1969-12-31T23:59:59Z'),
      `keys.yaml:4: keys[0].notAfter: found "1969-12-31T23:59:59Z", allowed: ${TIMES}`,
    ],
    [
      'a time as a number',
      oneKey(GOOD_SECRET, 'notAfter: 1769846400'),
      `keys.yaml:4: keys[0].notAfter: found 1769846400, allowed: ${TIMES}`,
    ],
    [
      'times the wrong way round',
      oneKey(GOOD_SECRET, 'notBefore: 2026-01-31T08:00:01Z', 'notAfter: 2026-01-31T08:00:00Z'),
      'keys.yaml:4: keys[0].notBefore: found 2026-01-31T08:00:01Z, allowed: at most notAfter, which is 2026-01-31T08:00:00Z',
    ],
    [
      'an id twice',
      `keys:\n${KEY_1}${KEY_1}`,
      "keys.yaml:4: keys[1].id: found 1, allowed: an id that keys[0] doesn't have",
    ],
    [
      'a name twice',
      `keys:\n${KEY_1}  - id: 2\n    name: key-1\n    ${GOOD_SECRET}\n`,
      'keys.yaml:5: keys[1].name: found "key-1", allowed: a name that keys[0] doesn\'t have',
    ],
  ])('%s', (_, text, problem) => {
    const error = refused(text);
    expect(error.code).toBe('KEY_FILE_CONTENT');
    expect(error.problems).toEqual([problem]);
    expect(error.message).toBe(problem);
  });

  it('is refused with every problem at once, up to 32', () => {
    expect(refused(oneKey('suite: x', 'encrypt: 1', 'notAfter: now')).problems).toHaveLength(4);
    const { problems } = refused(`keys:\n${'  - id: 0\n'.repeat(20)}`);
    expect(problems).toHaveLength(33);
    expect(problems[32]).toBe('… and 8 more');
  });
});

describe('what is not plain YAML', () => {
  it.each<[string, string, string]>([
    ['an open quote', oneKey(`secret: "${SECRET_HEX}`), 'keys.yaml:4:1: found what is not YAML (MISSING_CHAR)'],
    ['a missing space', oneKey(`secret:${SECRET_HEX}`), 'keys.yaml:3:5: found what is not YAML (MISSING_CHAR)'],
    ['a tab', `keys:\n\t- id: 1`, 'keys.yaml:2:1: found what is not YAML (TAB_AS_INDENT)'],
    ['a name twice', oneKey(GOOD_SECRET, GOOD_SECRET), 'keys.yaml:4:5: found what is not YAML (DUPLICATE_KEY)'],
    ['a tag', oneKey(`secret: !${SECRET_HEX} x`), 'keys.yaml:3:13: found what is not YAML (TAG_RESOLVE_FAILED)'],
    ['two documents', `keys:\n${KEY_1}---\nkeys:\n${KEY_1}`, 'keys.yaml:4:1: found what is not YAML (MULTIPLE_DOCS)'],
    ['an unknown alias', oneKey(`secret: *${SECRET_HEX}`), 'keys.yaml: found an alias (*)'],
    ['text after a value', oneKey(`secret: "${SECRET_HEX}" ${SECRET_HEX}`), 'keys.yaml:3:'],
    ['an alias', `keys:\n  - &a { id: 1, ${GOOD_SECRET} }\n  - *a`, 'keys.yaml: found an alias (*)'],
    ['a name that is a list', 'keys:\n  - ? [id]\n    : 1', 'keys.yaml:2:7: found what is not YAML (NON_STRING_KEY)'],
    ['deep nesting', `keys: ${'['.repeat(10_000)}`, 'keys.yaml:1:'],
  ])('is refused: %s', (_, text, beginning) => {
    const error = refused(text);
    expect(error.code).toBe('KEY_FILE_SYNTAX');
    expect(error.problems[0]?.slice(0, beginning.length)).toBe(beginning);
  });
});

describe('a secret in a file that is refused', () => {
  const broken: [string, string][] = [
    ['one digit missing', oneKey(`secret: "${SECRET_HEX.slice(1)}"`)],
    ['in the place of a name', oneKey(`name: ${SECRET_HEX}`)],
    ['in the place of a suite', oneKey(`suite: ${SECRET_HEX}`)],
    ['half of it in the place of a time', oneKey(`notAfter: ${SECRET_HEX.slice(0, 32)}`)],
    ['a quarter of it in the place of a suite', oneKey(`suite: ${SECRET_HEX.slice(0, 16)}`)],
    ['as a name', oneKey(`"${SECRET_HEX}": x`)],
    ['half of it as a name', oneKey(`"${SECRET_HEX.slice(32)}": x`)],
    ['in the place of a key', `keys:\n  - ${SECRET_HEX}`],
    ['in the place of the list', `keys: ${SECRET_HEX}`],
    ['in the place of the file', SECRET_HEX],
    ['without quotes at the end', oneKey(`secret: "${SECRET_HEX}`)],
    ['without a space', oneKey(`secret:${SECRET_HEX}`, 'encrypt: true')],
    ['as an anchor', oneKey(`secret: &${SECRET_HEX} *${SECRET_HEX}`)],
    ['as an alias of its own', `keys: [&${SECRET_HEX} 1, *${SECRET_HEX}]`],
    ['as a tag', oneKey(`secret: !${SECRET_HEX} x`)],
    ['as a directive', `%${SECRET_HEX} x\n---\nkeys: []`],
    ['as an escape', oneKey(`secret: "\\${SECRET_HEX}"`)],
    ['as a block header', oneKey(`secret: |${SECRET_HEX}\n      x`)],
    ['as a number', oneKey(`id2: ${SECRET_HEX.replaceAll(/[a-f]/g, '7')}`)],
  ];

  it.each(broken)('is not shown: %s', (_, text) => {
    const error = refused(text);
    for (const shown of [
      error.message,
      ...error.problems,
      String(error.stack),
      inspect(error, { depth: null, showHidden: true }),
    ]) {
      expect(showsSecret(shown, SECRET)).toBe(false);
    }
  });

  it('is not shown, wherever the file is cut off or a character is put in', () => {
    const whole = `keys:\n${KEY_1}  - {id: 2, secret: '${SECRET_HEX}', encrypt: true}\n`;
    const characters = fc.constantFrom(
      '',
      '"',
      "'",
      ':',
      ' ',
      '\n',
      '{',
      '[',
      '&',
      '*',
      '!',
      '%',
      '|',
      '\t',
      '\\',
      '#',
      '-',
    );
    fc.assert(
      fc.property(fc.nat({ max: whole.length }), fc.nat({ max: 3 }), characters, (at, dropped, put) => {
        try {
          parseKeyFile(whole.slice(0, at) + put + whole.slice(at + dropped), 'keys.yaml');
        } catch (error) {
          expect(error).toBeInstanceOf(KeyFileError);
          expect(showsSecret(inspect(error, { depth: null }), SECRET)).toBe(false);
        }
      }),
      { numRuns: 1500 },
    );
  });
});
