/** The command line's errors and exit statuses, each command as its own process. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { gateway } from '../support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'usage-'));
const config = join(folder, 'gateway.yaml');
writeFileSync(config, 'control: { socket: nowhere.sock }\nredis: { url: "redis://:hunter2@127.0.0.1:1" }\n');
const wrongConfig = join(folder, 'wrong.yaml');
writeFileSync(wrongConfig, 'listen: { port: 0 }\nredis: { url: "redis://:hunter2@h/x" }\ntypo: 1\n');
afterAll(() => rmSync(folder, { recursive: true }));

const COMMANDS = [
  ['run'],
  ['status'],
  ['top'],
  ['doctor'],
  ['trace'],
  ['reload-keys'],
  ['keys', 'new'],
  ['keys', 'list'],
  ['lookup'],
  ['spoe-agent'],
  ['backends'],
  ['backend', 'set'],
  ['backend', 'remove'],
  ['drain'],
  ['undrain'],
  ['down'],
  ['shed'],
  ['move'],
  ['settle'],
  ['balance'],
  ['deny'],
  ['allow'],
  ['fact', 'set'],
  ['fact', 'get'],
  ['fact', 'remove'],
  ['fact', 'watch'],
  ['redis', 'install'],
  ['console'],
  ['detach'],
  ['completion'],
  ['demo'],
  ['bench'],
];

describe('help', () => {
  test.concurrent.each(COMMANDS)('%s %s', async (...command) => {
    const names = command.filter((name) => name !== undefined);
    const { status, stdout, stderr } = await gateway([...names, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`Usage: gateway ${names.join(' ')} `);
    expect(stdout).toMatch(/\nExample: .*gateway /);
    const [name = ''] = names;
    if (!['demo', 'bench', 'completion'].includes(name)) expect(stdout).toContain('-c, --config <file>');
    if (!['run', 'spoe-agent', 'completion'].includes(name)) expect(stdout).toContain('--json');
  });

  test('gateway --help names every command', async () => {
    const { stdout } = await gateway(['--help']);
    for (const [name] of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
  });
});

describe('wrong usage: exit 2, on standard error, with where to look', () => {
  test.concurrent.each([
    [[], /found no command/, 'gateway'],
    [['bogus'], /unknown command 'bogus'/, 'gateway'],
    [['statsu'], /Did you mean status\?/, 'gateway'],
    [['-c', config, 'status'], /unknown option '-c'/, 'gateway'],
    [['status', '--bogus'], /unknown option '--bogus'/, 'gateway status'],
    [['status', 'extra'], /too many arguments/, 'gateway status'],
    [['status', '-c'], /argument missing/, 'gateway status'],
    [['run', '--log-level', 'loud'], /Allowed choices are trace/, 'gateway run'],
    [['keys', 'new', '--id', '0', '-c', config], /a whole number, 1 to 4294967295/, 'gateway keys new'],
    [['keys', 'new', '--name', 'a b', '-c', config], /name: found/, 'gateway keys new'],
    [['lookup', 'x'], /--server <host:port>' not specified/, 'gateway lookup'],
    [['lookup', '--server', 'h:1'], /missing required argument 'sid'/, 'gateway lookup'],
    [['lookup', 'x', '--server', 'h'], /--server: found "h"; allowed: host:port/, 'gateway lookup'],
    [['lookup', 'x', '--server', '1.2.3:4'], /--server: found/, 'gateway lookup'],
    [['lookup', 'x', '--server', 'h:1', '--timeout', '0'], /1 to 60000/, 'gateway lookup'],
    [['backend', 'set', 'web-1', '-c', config], /found nothing to set/, 'gateway backend set'],
    [['backend', 'set', 'web-1', '--id', '65536'], /1 to 65535/, 'gateway backend set'],
    [['backend', 'set', 'web-1', '--weight=-1'], /0 to 65535/, 'gateway backend set'],
    [['backend', 'set', 'web-1', '--weight', '1e3'], /0 to 65535/, 'gateway backend set'],
    [['backend', 'remove'], /missing required argument 'name'/, 'gateway backend remove'],
    [['drain'], /missing required argument 'name'/, 'gateway drain'],
    [['shed', 'web-1'], /missing required argument 'percent'/, 'gateway shed'],
    [['shed', 'web-1', '100.01'], /a percentage from 0 to 100 with at most two decimals/, 'gateway shed'],
    [['shed', 'web-1', '0.001'], /at most two decimals/, 'gateway shed'],
    [['shed', 'web-1', '1e1'], /a percentage from 0 to 100/, 'gateway shed'],
    [['move', 's1'], /missing required argument 'name'/, 'gateway move'],
    [['settle', 'web-1', '--rate', '0'], /a whole number, 1 to 100000/, 'gateway settle'],
    [['deny', 's1', '--for', '1 hour'], /a length of time up to 100 years, as 90s, 15m, 1h/, 'gateway deny'],
    [['deny', 's1', '--for', '0s'], /a length of time/, 'gateway deny'],
    [['fact', 'set', 'epoch'], /missing required argument 'value'/, 'gateway fact set'],
  ])('%j', async (args, message, help) => {
    const { status, stdout, stderr } = await gateway(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^gateway: USAGE_INVALID: /);
    expect(stderr).toMatch(message);
    expect(stderr).toContain(`Run "${help} --help"`);
  });

  test.concurrent.each([['keys'], ['backend'], ['fact'], ['redis']])('%s alone shows its commands', async (group) => {
    const { status, stdout, stderr } = await gateway([group]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`Usage: gateway ${group} `);
  });

  test.concurrent.each([
    ['', 'nothing'],
    ['\n', 'nothing'],
    ['x'.repeat(1025), 'more than 1024 bytes'],
    ['x'.repeat(100_000), 'more than 1024 bytes'],
    [Buffer.from([0xff, 0x0a]), 'bytes that are not UTF-8'],
  ])('a session id on standard input: %j', async (input, found) => {
    const { status, stderr } = await gateway(['lookup', '-', '--server', '127.0.0.1:1', '--keys', '/nowhere'], {
      input,
    });
    expect(status).toBe(2);
    expect(stderr).toContain(`gateway: SESSION_ID_INVALID: session id: found ${found}; allowed: 1 to 1024 bytes`);
  });
});

describe('wrong configuration: exit 2', () => {
  const needConfig = [
    ['run'],
    ['status'],
    ['reload-keys'],
    ['keys', 'new'],
    ['keys', 'list'],
    ['backends'],
    ['backend', 'set', 'x', '--id', '1'],
    ['backend', 'remove', 'x'],
    ['drain', 'x'],
    ['shed', 'x', '1'],
    ['move', 's', 'x'],
    ['settle', 'x'],
    ['deny', 's'],
    ['allow', 's'],
    ['fact', 'set', 'x', '1'],
    ['fact', 'watch', 'x'],
    ['redis', 'install'],
    ['detach'],
    ['lookup', 'x', '--server', '127.0.0.1:1'],
  ];

  test.concurrent.each(needConfig)('%s %s: every problem, no password', async (...command) => {
    const args = [...command.filter((name) => name !== undefined), '-c', wrongConfig];
    const { status, stdout, stderr } = await gateway(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(/^gateway: CONFIG_INVALID: .*wrong\.yaml:1: listen\.port: found 0; allowed: /),
      expect.stringMatching(/wrong\.yaml:2: redis\.url: found redis:\/\/:\*\*\*@h\/x; allowed: /),
      expect.stringMatching(/wrong\.yaml:3: typo: found an unknown name; allowed: /),
      '',
    ]);
  });

  test('a file that is not there, from the working directory', async () => {
    const { status, stderr } = await gateway(['status', '-c', 'other.yaml'], { cwd: folder });
    expect(status).toBe(2);
    expect(stderr).toContain(`CONFIG_NOT_FOUND: found no configuration file at ${join(folder, 'other.yaml')}`);
  });

  test('a key file that is not there', async () => {
    const { status, stderr } = await gateway(['run', '-c', config]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/KEY_FILE_INVALID: .*keys\.yaml: can't be read/);
    expect(stderr).not.toContain('hunter2');
  });
});

describe('what fails: exit 1, with what to do', () => {
  test.concurrent.each([['status'], ['reload-keys'], ['keys', 'list']])(
    '%s %s without a daemon',
    async (...command) => {
      const args = [...command.filter((name) => name !== undefined), '-c', config, '--json'];
      const { status, stdout, stderr } = await gateway(args);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toContain(`DAEMON_NOT_RUNNING: no gateway is running behind ${join(folder, 'nowhere.sock')}`);
      expect(stderr).toContain('gateway run');
    },
  );

  test.concurrent.each([
    ['backends'],
    ['redis', 'install'],
    ['backend', 'set', 'x', '--id', '1'],
    ['backend', 'remove', 'x'],
    ['drain', 'x'],
    ['settle', 'x'],
    ['deny', 's'],
    ['fact', 'watch', 'x'],
  ])('%s %s without Redis', async (...command) => {
    const args = [...command.filter((name) => name !== undefined), '-c', config];
    const { status, stdout, stderr } = await gateway(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/REDIS_UNREACHABLE: .*redis:\/\/:\*\*\*@127\.0\.0\.1:1 .*ECONNREFUSED/);
    expect(stderr).not.toContain('hunter2');
  });
});
