import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { loadConfig, parseConfig, shownUrl } from '../../src/gateway/config.ts';
import { GatewayError } from '../../src/gateway/errors.ts';

const FILE = '/etc/session-gateway/gateway.yaml';

const DEFAULTS = {
  file: FILE,
  listen: {
    interfaces: ['eth0'],
    port: 6464,
    addresses: [],
    attach: 'auto',
    allow: [],
    maxSkewMs: 30_000,
    staleAfterMs: 10_000,
  },
  pins: '/sys/fs/bpf/session-gateway',
  keys: '/etc/session-gateway/keys.yaml',
  redis: {
    url: 'redis://127.0.0.1:6379/0',
    sentinel: null,
    cluster: null,
    username: null,
    passwordFile: null,
    tls: null,
    names: 'gateway:',
  },
  sessions: {
    prefix: 'sess:',
    backend: { in: 'hash', field: 'backend' },
    capacity: 1_000_000,
    onMiss: 'answer',
  },
  feed: { from: 'stream', stream: 'sessions:feed', reconcileEveryMs: 3_600_000 },
  control: { socket: '/run/session-gateway/gateway.sock', http: null, tokenFile: null, announce: true },
};

/** The problems of a configuration, one a line. */
function problems(text: string): string[] {
  try {
    parseConfig(text, FILE);
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', exitStatus: 2 });
    return (error as Error).message.split('\n');
  }
  return [];
}

describe('what is taken', () => {
  test.each(['', '# only a comment', '{}', 'listen:\nredis:\nsessions:\nfeed:\ncontrol:\n'])(
    'nothing said is the defaults: %j',
    (text) => {
      expect(parseConfig(text, FILE)).toEqual(DEFAULTS);
    },
  );

  test('the example is valid, and says every setting with its default', () => {
    const file = fileURLToPath(new URL('../../config/gateway.yaml', import.meta.url));
    const text = readFileSync(file, 'utf8');
    expect(parseConfig(text, FILE)).toEqual(DEFAULTS);
    const { url, ...redis } = DEFAULTS.redis;
    const content = parseDocument(text).toJS();
    expect(Object.keys(content)).toEqual(Object.keys(DEFAULTS).slice(1));
    for (const section of ['listen', 'sessions', 'feed', 'control'] as const) {
      expect(Object.keys(content[section])).toEqual(Object.keys(DEFAULTS[section]));
    }
    // The other two ways to Redis exclude the URL, so they are comments.
    const { sentinel, cluster, ...said } = redis;
    expect(Object.keys(content.redis)).toEqual(['url', ...Object.keys(said)]);
    expect(text).toMatch(/^ *# sentinel:/m);
    expect(text).toMatch(/^ *# cluster:/m);
    expect(content.redis.url).toBe(url);
    expect([sentinel, cluster]).toEqual([null, null]);
  });

  test('relative paths begin at the file', () => {
    const text = 'pins: p\nkeys: ../k.yaml\nredis: { passwordFile: pw }\ncontrol: { socket: ./g.sock }';
    expect(parseConfig(text, '/srv/x/gateway.yaml')).toMatchObject({
      pins: '/srv/x/p',
      keys: '/srv/k.yaml',
      redis: { passwordFile: '/srv/x/pw' },
      control: { socket: '/srv/x/g.sock' },
    });
  });

  test('addresses and networks get their usual spelling', () => {
    const text =
      'listen: { addresses: ["2001:DB8:0::1", 127.0.0.1], allow: ["2001:0DB8::/32", 0.0.0.0/0, 10.0.0.1/32] }';
    expect(parseConfig(text, FILE).listen).toMatchObject({
      addresses: ['2001:db8::1', '127.0.0.1'],
      allow: ['2001:db8::/32', '0.0.0.0/0', '10.0.0.1/32'],
    });
  });

  test.each([
    'redis://h',
    'redis://h:6380/15',
    'redis://user:p%40ss@[2001:db8::1]:6379',
    'rediss://h:6380/1',
    'unix:///run/redis/redis.sock',
    'unix:///run/redis.sock?db=3',
  ])('redis.url: %s', (url) => {
    expect(parseConfig(`redis: { url: "${url}" }`, FILE).redis.url).toBe(url);
  });

  test.each(['eth0', 'eth0.100', 'wg-1', 'enp0s31f6@x', 'fifteen-bytes-x'])('interface %s', (name) => {
    expect(parseConfig(`listen: { interfaces: ["${name}"] }`, FILE).listen.interfaces).toEqual([name]);
  });
});

describe('what is refused, with where, what was found and what is allowed', () => {
  test.each([
    // [where, text, found]
    ['listen.port', 'listen: { port: 0 }', '0'],
    ['listen.port', 'listen: { port: 65536 }', '65536'],
    ['listen.port', 'listen: { port: "6464" }', '"6464"'],
    ['listen.port', 'listen: { port: 6464.5 }', '6464.5'],
    ['listen.port', 'listen: { port: null }', 'null'],
    ['listen.port', 'listen: { port: .nan }', 'NaN'],
    ['listen.port', 'listen: { port: [1] }', 'a list of 1'],
    ['listen', 'listen: 3', '3'],
    ['listen', 'listen: [eth0]', 'a list of 1'],
    ['listen.interfaces', 'listen: { interfaces: [] }', 'an empty list'],
    ['listen.interfaces', 'listen: { interfaces: eth0 }', '"eth0"'],
    ['listen.interfaces[0]', 'listen: { interfaces: [""] }', '""'],
    ['listen.interfaces[0]', 'listen: { interfaces: [sixteen-bytes-xx] }', '"sixteen-bytes-xx"'],
    ['listen.interfaces[0]', 'listen: { interfaces: ["üüüüüüüü"] }', '"üüüüüüüü"'],
    ['listen.interfaces[0]', 'listen: { interfaces: ["a b"] }', '"a b"'],
    ['listen.interfaces[0]', 'listen: { interfaces: ["../x"] }', '"../x"'],
    ['listen.interfaces[0]', 'listen: { interfaces: [".."] }', '".."'],
    ['listen.interfaces[0]', 'listen: { interfaces: ["eth0:1"] }', '"eth0:1"'],
    ['listen.interfaces[0]', 'listen: { interfaces: [0] }', '0'],
    ['listen.interfaces[1]', 'listen: { interfaces: [eth0, eth0] }', '"eth0"'],
    ['listen.attach', 'listen: { attach: offload }', '"offload"'],
    ['listen.addresses[0]', 'listen: { addresses: [10.0.0.300] }', '"10.0.0.300"'],
    ['listen.addresses[0]', 'listen: { addresses: [10.1] }', '10.1'],
    ['listen.addresses[0]', 'listen: { addresses: ["0x7f.1"] }', '"0x7f.1"'],
    ['listen.addresses[0]', 'listen: { addresses: [010.0.0.1] }', '"010.0.0.1"'],
    ['listen.addresses[0]', 'listen: { addresses: [10.0.0.1/32] }', '"10.0.0.1/32"'],
    ['listen.addresses[0]', 'listen: { addresses: [10.0.0.1:80] }', '"10.0.0.1:80"'],
    ['listen.addresses[0]', 'listen: { addresses: ["::"] }', '"::"'],
    ['listen.addresses[0]', 'listen: { addresses: ["0.0.0.0"] }', '"0.0.0.0"'],
    ['listen.addresses[0]', 'listen: { addresses: ["224.0.0.1"] }', '"224.0.0.1"'],
    ['listen.addresses[0]', 'listen: { addresses: ["255.255.255.255"] }', '"255.255.255.255"'],
    ['listen.addresses[0]', 'listen: { addresses: ["fe80::1%eth0"] }', '"fe80::1%eth0"'],
    ['listen.addresses[0]', 'listen: { addresses: ["::ffff:10.0.0.1"] }', '"::ffff:10.0.0.1"'],
    ['listen.addresses[0]', 'listen: { addresses: [localhost] }', '"localhost"'],
    ['listen.addresses[1]', 'listen: { addresses: ["2001:db8::1", "2001:DB8:0::1"] }', '"2001:DB8:0::1"'],
    ['listen.allow[0]', 'listen: { allow: [10.0.0.1] }', '"10.0.0.1"'],
    ['listen.allow[0]', 'listen: { allow: [10.0.0.1/8] }', '"10.0.0.1/8"'],
    ['listen.allow[0]', 'listen: { allow: [10.0.0.0/33] }', '"10.0.0.0/33"'],
    ['listen.allow[0]', 'listen: { allow: [10.0.0.0/-1] }', '"10.0.0.0/-1"'],
    ['listen.allow[0]', 'listen: { allow: [10.0.0.0/8/8] }', '"10.0.0.0/8/8"'],
    ['listen.allow[0]', 'listen: { allow: ["2001:db8::1/64"] }', '"2001:db8::1/64"'],
    ['listen.allow[0]', 'listen: { allow: ["2001:db8::/129"] }', '"2001:db8::/129"'],
    ['listen.allow[0]', 'listen: { allow: ["::/0"] }', '"::/0"'],
    ['listen.allow[0]', 'listen: { allow: ["::/64"] }', '"::/64"'],
    ['listen.allow[0]', 'listen: { allow: ["::ffff:10.0.0.0/104"] }', '"::ffff:10.0.0.0/104"'],
    ['listen.allow[1]', 'listen: { allow: [10.0.0.0/8, 10.0.0.0/8] }', '"10.0.0.0/8"'],
    ['listen.maxSkewMs', 'listen: { maxSkewMs: 0 }', '0'],
    ['listen.maxSkewMs', 'listen: { maxSkewMs: 86400001 }', '86400001'],
    ['listen.maxSkewMs', 'listen: { maxSkewMs: 30s }', '"30s"'],
    ['listen.staleAfterMs', 'listen: { staleAfterMs: -1 }', '-1'],
    ['pins', 'pins: 3', '3'],
    ['pins', 'pins: ""', '""'],
    ['pins', 'pins: "a\\0b"', '"a\\u0000b"'],
    ['keys', 'keys: [a]', 'a list of 1'],
    ['redis.url', 'redis: { url: localhost }', 'text that is not a URL'],
    ['redis.url', 'redis: { url: "http://h" }', 'http://h/'],
    ['redis.url', 'redis: { url: "redis://" }', 'redis://'],
    ['redis.url', 'redis: { url: "redis://h/x" }', 'redis://h/x'],
    ['redis.url', 'redis: { url: "redis://h:0" }', 'redis://h:0'],
    ['redis.url', 'redis: { url: "redis://h:70000" }', 'text that is not a URL'],
    ['redis.url', 'redis: { url: "redis://h?password=hunter2" }', 'redis://h'],
    ['redis.url', 'redis: { url: "unix://host/path" }', 'unix://host/path'],
    ['redis.url', 'redis: { url: "unix:///a?db=x" }', 'unix:///a?db=x'],
    ['redis.username', 'redis: { url: "redis://u:p@h", username: v, passwordFile: null }', '"v"'],
    ['redis.username', 'redis: { username: v }', '"v"'],
    ['redis.passwordFile', 'redis: { url: "redis://:p@h", passwordFile: pw }', '"pw"'],
    ['redis.cluster', 'redis: { cluster: { nodes: ["h:1"] } }', 'settings'],
    ['redis.sentinel.nodes', 'redis: { sentinel: { name: m, nodes: [] } }', 'an empty list'],
    ['redis.sentinel.nodes', 'redis: { sentinel: { name: m } }', 'nothing'],
    ['redis.sentinel.nodes[1]', 'redis: { sentinel: { name: m, nodes: ["h:1", "h:1"] } }', '"h:1"'],
    ['redis.sentinel.username', 'redis: { sentinel: { name: m, nodes: ["h:1"], username: u } }', '"u"'],
    ['redis.tls', 'redis: { tls: {} }', 'settings'],
    ['redis.tls', 'redis: { url: "redis://h", tls: { caFile: ca.pem } }', 'settings'],
    ['redis.tls.keyFile', 'redis: { url: "rediss://h", tls: { certFile: c } }', 'nothing'],
    ['redis.tls.certFile', 'redis: { url: "rediss://h", tls: { keyFile: k } }', 'nothing'],
    ['redis.tls.serverName', 'redis: { url: "rediss://h", tls: { serverName: 192.0.2.1 } }', '"192.0.2.1"'],
    ['redis.names', 'redis: { names: "" }', '""'],
    ['redis.names', 'redis: { names: "a b" }', '"a b"'],
    ['redis.names', 'redis: { names: "sess:gw" }', '"sess:gw"'],
    ['redis.names', 'sessions: { prefix: g }', 'nothing, which stands for gateway:'],
    ['sessions.prefix', 'sessions: { prefix: "" }', '""'],
    ['sessions.backend', 'sessions: { backend: hash }', '"hash"'],
    ['sessions.backend.in', 'sessions: { backend: { in: list } }', '"list"'],
    ['sessions.backend.field', 'sessions: { backend: { in: hash, field: 3 } }', '3'],
    ['sessions.backend.path', 'sessions: { backend: { in: json, path: a..b } }', '"a..b"'],
    ['sessions.backend.path', 'sessions: { backend: { in: json, path: .a } }', '".a"'],
    ['sessions.capacity', 'sessions: { capacity: 0 }', '0'],
    ['sessions.capacity', 'sessions: { capacity: 100000001 }', '100000001'],
    ['sessions.capacity', 'sessions: { capacity: 1_000 }', '"1_000"'],
    ['sessions.onMiss', 'sessions: { onMiss: ask }', '"ask"'],
    ['feed.from', 'feed: { from: list }', '"list"'],
    ['feed.stream', 'feed: { stream: "sess:feed" }', '"sess:feed"'],
    ['feed.reconcileEveryMs', 'feed: { reconcileEveryMs: 999 }', '999'],
    ['feed.reconcileEveryMs', 'feed: { reconcileEveryMs: 2147483648 }', '2147483648'],
    ['control.socket', 'control: { socket: null }', 'null'],
  ])('%s in %s', (where, text, found) => {
    const [line, ...more] = problems(text);
    expect(more).toEqual([]);
    expect(line).toMatch(/^\/etc\/session-gateway\/gateway\.yaml:1: .+; allowed: .+$/);
    expect(line).toContain(`: ${where}: found ${found}; allowed: `);
  });

  test.each([
    ['listen: { prot: 1 }', 'listen.prot', 'an unknown name (did you mean port?)', 'interfaces, port, '],
    ['listen: { Interfaces: [] }', 'listen.Interfaces', 'an unknown name (did you mean interfaces?)', 'interfaces, '],
    ['session: {}', 'session', 'an unknown name (did you mean sessions?)', 'listen, pins, '],
    ['zzz: {}', 'zzz', 'an unknown name', 'listen, pins, keys, redis, sessions, feed, control'],
    ['sessions: { backend: { in: hash, path: x } }', 'sessions.backend.path', 'an unknown name', 'in, field'],
    ['redis: { password: hunter2 }', 'redis.password', 'an unknown name', 'url, sentinel, '],
    ['__proto__: {}', '__proto__', 'an unknown name', 'listen, '],
    ['constructor: 1', 'constructor', 'an unknown name', 'listen, '],
  ])('an unknown name: %s', (text, where, found, allowed) => {
    expect(problems(text)).toHaveLength(1);
    expect(problems(text)[0]).toContain(`: ${where}: found ${found}; allowed: ${allowed}`);
  });

  test('everything at once, in the order of the file, each with its line', () => {
    const text = `listen:
  interfaces:
    - eth0
    - eth 1
  port: 0
  typo: 1
redis:
  url: redis://:hunter2@h/x
  sentinel:
    name: main
sessions: { onMiss: ask }
feed: 7
`;
    expect(problems(text).map((line) => line.replace(/; allowed: .*/, ''))).toEqual([
      `${FILE}:4: listen.interfaces[1]: found "eth 1"`,
      `${FILE}:5: listen.port: found 0`,
      `${FILE}:6: listen.typo: found an unknown name`,
      `${FILE}:8: redis.url: found redis://:***@h/x`,
      `${FILE}:9: redis.sentinel.nodes: found nothing`,
      `${FILE}:11: sessions.onMiss: found "ask"`,
      `${FILE}:12: feed: found 7`,
    ]);
  });

  test('no more than 50 lines', () => {
    const text = `listen: { interfaces: [${Array.from({ length: 60 }, (_, i) => `"a b${i}"`).join(', ')}] }`;
    expect(problems(text)).toHaveLength(51);
    expect(problems(text).at(-1)).toBe('… and 10 more');
  });

  test.each([
    ['listen: [', 'BAD_INDENT'],
    ['listen: {port: 1}\nlisten: {port: 2}', 'DUPLICATE_KEY'],
    ['listen: {port: 1, port: 2}', 'DUPLICATE_KEY'],
    ['a: 1\n---\nb: 2', 'MULTIPLE_DOCS'],
    ['listen: !!js/function "x"', 'TAG_RESOLVE_FAILED'],
    ['\tlisten: {}', 'TAB_AS_INDENT'],
    ['? [a]\n: 1', 'NON_STRING_KEY'],
  ])('what is not YAML: %j', (text, code) => {
    expect(problems(text)[0]).toMatch(new RegExp(`^${FILE}:\\d: found what is not YAML at column \\d+ \\(${code}\\)`));
  });

  test.each(['a: &x 1\nb: *x', 'b: *x'])('aliases: %j', (text) => {
    expect(problems(text)).toEqual([`${FILE}: found an alias (*); allowed: YAML without aliases`]);
  });
});

test('without XDP an address will do; with it there must be an interface', () => {
  const none = 'listen: { attach: none, interfaces: [], addresses: [127.0.0.1] }';
  expect(parseConfig(none, FILE).listen).toMatchObject({ attach: 'none', interfaces: [], addresses: ['127.0.0.1'] });
  for (const listen of ['{ attach: none, interfaces: [] }', '{ interfaces: [], addresses: [127.0.0.1] }']) {
    expect(problems(`listen: ${listen}`)[0]).toContain('listen.interfaces: found an empty list; allowed: at least one');
  }
});

test('two ways to Redis', () => {
  const text = 'redis: { url: "redis://h", sentinel: { name: m, nodes: ["h:1"] } }';
  expect(problems(text).join('\n')).toContain('redis.sentinel: found settings; allowed: only one of');
});

test('Redis by sentinels, with TLS and a user', () => {
  const text = `redis:
  sentinel: { name: m, nodes: ["h:1", "[2001:db8::1]:2"], username: s, passwordFile: sp }
  username: u
  passwordFile: p
  tls: { caFile: ca.pem }`;
  expect(parseConfig(text, FILE).redis).toMatchObject({
    sentinel: {
      name: 'm',
      nodes: [
        { host: 'h', port: 1 },
        { host: '2001:db8::1', port: 2 },
      ],
      username: 's',
      passwordFile: '/etc/session-gateway/sp',
    },
    cluster: null,
    username: 'u',
    tls: { caFile: '/etc/session-gateway/ca.pem', certFile: null, keyFile: null, serverName: null },
  });
});

test('control.http needs a token', () => {
  expect(problems('control: { http: "localhost:80" }')).toEqual([
    `${FILE}:1: control.http: found "localhost:80"; allowed: null, or host:port together with control.tokenFile`,
  ]);
  const { control } = parseConfig('control: { http: "[::1]:8080", tokenFile: token }', FILE);
  expect(control).toMatchObject({ http: { host: '::1', port: 8080 }, tokenFile: '/etc/session-gateway/token' });
});

describe('passwords are not repeated', () => {
  test.each([
    'redis: { url: "redis://u:hunter2@h/x" }',
    'redis: { url: "redis://u:hunter2@h:99999" }',
    'redis: { url: "rediss://u:hunter2@h", tls: 3 }',
    'redis: { url: "redis://h?password=hunter2" }',
    'redis: { url: "redis://h/#hunter2" }',
    'redis: { url: ["redis://u:hunter2@h"] }',
    'redis: "redis://u:hunter2@h"',
    'redis: { password: hunter2 }',
    'redis: { "url:redis://u:hunter2@h": 1 }',
    'redis:\n  url redis://u:hunter2@h\n  names: x',
    'redis: { url: "redis://u:hunter2@h }',
    'redis: { url: redis://u:hunter2@h, url: redis://u:hunter2@h }',
    'redis: { names: "u: hunter2@h" }',
    'pins: ["u:hunter2@h"]',
    'x: *hunter2',
    'x: !hunter2 3',
  ])('%s', (text) => {
    expect(problems(text).length).toBeGreaterThan(0);
    expect(problems(text).join('\n')).not.toContain('hunter2');
  });

  test('a URL as it is shown', () => {
    expect(shownUrl('redis://u:hunter2@h:1/2')).toBe('redis://u:***@h:1/2');
    expect(shownUrl('redis://h:1/2')).toBe('redis://h:1/2');
    expect(shownUrl('unix:///a?db=1')).toBe('unix:///a?db=1');
  });
});

describe('where the file is found', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'config-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('the named one, from the working directory', () => {
    writeFileSync(join(folder, 'mine.yaml'), 'listen: { port: 1 }');
    expect(loadConfig('mine.yaml', folder)).toMatchObject({ file: join(folder, 'mine.yaml'), listen: { port: 1 } });
  });

  test('without a name config/gateway.yaml', () => {
    mkdirSync(join(folder, 'config'));
    writeFileSync(join(folder, 'config', 'gateway.yaml'), 'listen: { port: 2 }');
    expect(loadConfig(undefined, folder)).toMatchObject({
      listen: { port: 2 },
      keys: join(folder, 'config', 'keys.yaml'),
    });
  });

  test('a named one that is missing is not replaced by another', () => {
    mkdirSync(join(folder, 'config'));
    writeFileSync(join(folder, 'config', 'gateway.yaml'), '');
    expect(() => loadConfig('other.yaml', folder)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_NOT_FOUND',
        exitStatus: 2,
        message: expect.stringContaining('other.yaml'),
      }),
    );
  });

  test('a folder, bytes that are not UTF-8, and too much', () => {
    const unreadable = expect.objectContaining({ code: 'CONFIG_UNREADABLE', exitStatus: 2 });
    expect(() => loadConfig('.', folder)).toThrow(unreadable);
    writeFileSync(join(folder, 'latin1.yaml'), Buffer.from([0x61, 0x3a, 0xff]));
    expect(() => loadConfig('latin1.yaml', folder)).toThrow(unreadable);
    writeFileSync(join(folder, 'large.yaml'), '#'.repeat(1024 * 1024 + 1));
    expect(() => loadConfig('large.yaml', folder)).toThrow(unreadable);
  });

  test.skipIf(process.getuid?.() === 0)('one that may not be read', () => {
    writeFileSync(join(folder, 'secret.yaml'), '');
    chmodSync(join(folder, 'secret.yaml'), 0);
    expect(() => loadConfig('secret.yaml', folder)).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }));
  });
});
