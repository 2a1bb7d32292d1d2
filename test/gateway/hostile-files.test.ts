/** Files that are not what they should be, as configuration, key file, token file and password file: refused in words, never more. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KeyFileError } from '../../src/auth/errors.ts';
import { parseKeyFile } from '../../src/auth/key-file.ts';
import { Keyring } from '../../src/auth/keyring.ts';
import { parseConfig } from '../../src/gateway/config.ts';
import { GatewayError } from '../../src/gateway/errors.ts';
import { runs } from '../support/fuzz.ts';

const PASSWORD = 'hunter2hunter2';
const SECRET = 'c0ffee11'.repeat(8);
const CONFIG = readFileSync(new URL('../../config/gateway.yaml', import.meta.url), 'utf8').replace(
  'url: redis://127.0.0.1:6379/0',
  `url: redis://:${PASSWORD}@127.0.0.1:6379/0`,
);
const KEYS = `keys:\n  - id: 1\n    name: edge\n    suite: hmac-sha256\n    secret: "${SECRET}"\n    encrypt: false\n    notBefore: null\n    notAfter: 2030-01-01T00:00:00Z\n  - { id: 2, secret: "${SECRET}" }\n`;
/** 50 problems of a few hundred characters each. */
const MESSAGE_MAX = 20_000;

/** @returns the refusal's text; undefined where it is taken */
function configRefusal(text: string): string | undefined {
  try {
    parseConfig(text, '/etc/gateway.yaml');
    return undefined;
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'CONFIG_INVALID') throw error;
    return error.message;
  }
}

function keyRefusal(text: string): string | undefined {
  try {
    expect(parseKeyFile(text, 'keys.yaml')).toBeInstanceOf(Keyring);
    return undefined;
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error;
    expect(error.code).toMatch(/^KEY_FILE_(SYNTAX|CONTENT)$/);
    return error.message;
  }
}

const nasty = fc.oneof(
  fc.constantFrom(
    ...[
      '\0',
      '\t',
      '\r',
      '\n',
      ' ',
      ':',
      ': ',
      '- ',
      '? ',
      '{',
      '}',
      '[',
      ']',
      ',',
      '#',
      '&a ',
      '*a',
      '!',
      '!!binary ',
      '|',
      '>',
      '"',
      "'",
    ],
    ...[
      '%YAML 1.1\n',
      '---\n',
      '...\n',
      '<<: ',
      '__proto__: ',
      'constructor: ',
      '.inf',
      '.nan',
      '0x10',
      '1e999',
      '-1',
      '9'.repeat(400),
    ],
    ...[
      'null',
      'true',
      '~',
      '\ufeff',
      '\u2028',
      '\ud800',
      '\u{1f600}',
      'x'.repeat(5_000),
      '{a: '.repeat(50),
      '['.repeat(50),
    ],
  ),
  fc.string({ unit: 'binary', maxLength: 8 }),
);

/** Changes of a text: what is put where, and how much of what was there goes. */
const changes = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 0, 1, 2, 5, 40), nasty), { minLength: 1, maxLength: 4 });

function changed(text: string, edits: readonly (readonly [number, number, string])[]): string {
  return edits.reduce((before, [at, gone, put]) => {
    const place = at % (before.length + 1);
    return before.slice(0, place) + put + before.slice(place + gone);
  }, text);
}

/** The comments of the example take no mistake. */
const BARE = CONFIG.replaceAll(/^\s*#.*\n|\s+#.*$/gm, '');

describe('changed files', () => {
  test('of the configuration', () => {
    expect(configRefusal(BARE)).toBeUndefined();
    let refused = 0;
    fc.assert(
      fc.property(changes, (edits) => {
        const text = changed(BARE, edits);
        const refusal = configRefusal(text);
        if (refusal === undefined) return;
        refused += 1;
        expect(refusal.length).toBeLessThan(MESSAGE_MAX);
        // An edit within the URL can make it something else, whose user name is then shown.
        if (text.includes(`redis://:${PASSWORD}@127.0.0.1:6379/0`)) expect(refusal).not.toContain(PASSWORD);
      }),
      runs(700),
    );
    expect(refused).toBeGreaterThan(200);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  test('of the keys', () => {
    expect(keyRefusal(KEYS)).toBeUndefined();
    let refused = 0;
    fc.assert(
      fc.property(changes, (edits) => {
        const refusal = keyRefusal(changed(KEYS, edits));
        if (refusal === undefined) return;
        refused += 1;
        expect(refusal.length).toBeLessThan(MESSAGE_MAX);
        expect(refusal).not.toContain(SECRET.slice(0, 12));
      }),
      runs(700),
    );
    expect(refused).toBeGreaterThan(200);
  });

  test('of any bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        configRefusal(text);
        keyRefusal(text);
      }),
      runs(700),
    );
  });
});

const BOMB = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghi'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]\n`).join('')}`;

describe.each([
  ['configuration', configRefusal],
  ['key file', keyRefusal],
] as const)('what is small and would be much, as %s', (_name, refusal) => {
  test.each([
    ['many laughs', BOMB, /alias/],
    ['an alias of its own', 'a: &a [*a]', /alias/],
    ['deep lists', '['.repeat(20_000), /./],
    ['deep lists that are closed', '['.repeat(20_000) + ']'.repeat(20_000), /./],
    ['deep settings', '{a: '.repeat(20_000), /./],
    ['deep dashes', '- '.repeat(20_000), /./],
    ['deep questions', '? '.repeat(5_000), /./],
    ['deep indentation', Array.from({ length: 200 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''), /./],
    ['a long line', `a: ${'x'.repeat(200_000)}`, /./],
    ['many names', Array.from({ length: 10_000 }, (_, i) => `n${i}: 1\n`).join(''), /more/],
    ['one name many times', 'a: 1\n'.repeat(3_000), /more/],
    ['many documents', '---\na: 1\n'.repeat(1_000), /./],
    ['a huge number', `keys: ${'9'.repeat(10_000)}`, /./],
    ['prototypes', '__proto__: { keys: [] }\nconstructor: { prototype: { x: 1 } }\n', /./],
    ['tags', 'keys: !!js/function "x"\n', /./],
    ['a merge', 'a: 1\n<<: { keys: [] }\n', /./],
  ])('%s', (_what, text, words) => {
    const words_ = refusal(text);
    expect(words_).toMatch(words);
    expect(words_?.length).toBeLessThan(MESSAGE_MAX);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
});

/** In a process of its own: an open or a read that waits can't be interrupted from within. */
describe('what is no such file', () => {
  const GATEWAY = fileURLToPath(new URL('../../bin/gateway', import.meta.url));
  let folder: string;
  const kinds: Record<string, (path: string) => void> = {
    'a folder': (path) => mkdirSync(path),
    'a named pipe': (path) => execFileSync('mkfifo', ['-m', '600', path]),
    'an endless device': (path) => symlinkSync('/dev/zero', path),
    'a file of 1 GB': (path) => {
      writeFileSync(path, '', { mode: 0o600 });
      truncateSync(path, 1e9);
    },
    'a file of the kernel, endless': (path) => symlinkSync('/proc/kmsg', path),
    'a loop of links': (path) => symlinkSync(path, path),
    'bytes that are not UTF-8': (path) => writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00]), { mode: 0o600 }),
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'files-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const modules = {
    configuration: ["import { loadConfig } from './src/gateway/config.ts'", 'loadConfig(path)', 'CONFIG_UNREADABLE'],
    'key file': ["import { readKeys } from './src/gateway/keys.ts'", 'readKeys(path)', 'KEY_FILE_INVALID'],
    'token file': [
      "import { readToken } from './src/gateway/control/token.ts'",
      'readToken(path)',
      'TOKEN_FILE_INVALID',
    ],
    'password file': [
      "import { redisAccess } from './src/gateway/redis-access.ts'",
      "redisAccess({ redis: { url: 'redis://x', username: null, sentinel: null, cluster: null, tls: null, passwordFile: path } })",
      'CONFIG_UNREADABLE',
    ],
  } as const;

  test.each(Object.entries(modules))('as %s', (name, [imports, call, code]) => {
    const paths = Object.entries(kinds).map(([kind, make], i) => {
      const path = join(folder, `${name.replace(' ', '-')}-${i}`);
      make(path);
      return [kind, path];
    });
    const script = `${imports};
      for (const [kind, path] of ${JSON.stringify(paths)}) {
        let found = 'taken';
        try { ${call}; } catch (error) { found = String(error.code) + ': ' + error.message; }
        console.log(JSON.stringify([kind, found]));
      }`;
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
      timeout: 60_000,
      maxBuffer: 1e6,
    });
    const answers: [string, string][] = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(answers.map(([kind]) => kind)).toEqual(Object.keys(kinds));
    for (const [kind, found] of answers) expect([kind, found]).toEqual([kind, expect.stringMatching(`^${code}: `)]);
  });

  test('the command says so too, and ends', () => {
    const path = join(folder, 'pipe.yaml');
    kinds['a named pipe']?.(path);
    expect(() => execFileSync(GATEWAY, ['status', '-c', path], { timeout: 60_000, stdio: 'pipe' })).toThrow(
      expect.objectContaining({
        status: 2,
        stderr: expect.toSatisfy((text) => /CONFIG_UNREADABLE.*named pipe/.test(String(text))),
      }),
    );
  });
});
