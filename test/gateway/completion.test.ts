/** Completion of the command line, in the shells themselves. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandLine } from '../../src/gateway/command-line.ts';
import { completedCommands } from '../../src/gateway/completion/tree.ts';
import { type ControlServer, startControl } from '../../src/gateway/control/server.ts';
import { createLogger } from '../../src/gateway/log.ts';
import { FakeGateway } from './control/fake-gateway.ts';
import { until } from './support/balancing.ts';
import { GATEWAY, gateway } from './support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'completion-'));
const config = join(folder, 'gateway.yaml');
const silent = join(folder, 'silent.yaml');
const fake = new FakeGateway();
let control: ControlServer;
let mute: Server;

beforeAll(async () => {
  writeFileSync(config, '{ control: { socket: gateway.sock } }');
  writeFileSync(silent, '{ control: { socket: silent.sock } }');
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { status, stdout, stderr } = await gateway(['completion', shell]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    writeFileSync(join(folder, shell), stdout);
  }
  // As somebody has it on the path.
  mkdirSync(join(folder, 'bin'));
  symlinkSync(GATEWAY, join(folder, 'bin', 'gateway'));
  control = await startControl(join(folder, 'gateway.sock'), fake, createLogger('fatal'));
  for (const [i, name] of ['web-1', 'web-2', 'api', '$(touch x)', 'two words'].entries())
    fake.directory.table.set(name, {
      name,
      id: i + 1,
      address: `10.0.0.${i}:80`,
      state: 'active',
      weight: 100,
      shed: 0,
    });
  mute = createServer(() => undefined);
  await new Promise<void>((resolve) => mute.listen(join(folder, 'silent.sock'), resolve));
});
afterAll(async () => {
  await control?.close();
  mute?.close();
  rmSync(folder, { recursive: true });
});

test('every command, option and argument is in the tree', () => {
  const program = commandLine();
  const tree = new Map(completedCommands(program).map((command) => [command.path.join(' '), command]));
  const walk = (command: Command, path: string): void => {
    const entry = tree.get(path);
    expect(entry?.options.flatMap(({ flags }) => flags)).toEqual(
      expect.arrayContaining(command.options.flatMap(({ short, long }) => [short, long].filter((flag) => flag))),
    );
    expect(entry?.values).toHaveLength(command.registeredArguments.length);
    for (const below of command.commands)
      if (below.name() !== 'complete-backends') walk(below, `${path} ${below.name()}`);
  };
  walk(program, 'gateway');
  expect(tree.get('gateway drain')?.values).toEqual(['backend']);
  expect(tree.get('gateway move')?.values).toEqual(['value', 'backend']);
  expect(tree.has('gateway complete-backends')).toBe(false);
});

const run = promisify(execFile);

/** Names are asked of the daemon for 200 ms: where the machine is slow, the key is pressed again. */
async function eventually(offered: () => Promise<string[]>, expected: readonly string[]): Promise<void> {
  await until(async () => JSON.stringify(await offered()) === JSON.stringify(expected));
}

/** What bash offers where the cursor is behind the last word. */
async function bash(...words: string[]): Promise<string[]> {
  const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gateway; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--norc', '--noprofile', '-c', script, 'bash', join(folder, 'bash'), GATEWAY, ...words];
  const { stdout } = await run('bash', args, { cwd: folder });
  return stdout.split('\n').filter((line) => line !== '');
}

describe('bash', () => {
  test.each<[string[], string[]]>([
    [['ba'], ['backends', 'backend', 'balance']],
    [
      ['backend', ''],
      ['set', 'remove'],
    ],
    [['backend', 'set', '--w'], ['--weight']],
    [
      ['keys', 'new', '-'],
      ['-c', '--config', '--json', '--id', '--name', '-h', '--help'],
    ],
    [['run', '--log-level', 'f'], ['fatal']],
    [['run', '--log-level', '=', 'wa'], ['warn']],
    [
      ['balance', '--by', ''],
      ['sessions', 'reported', 'lookups'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['status', '-c', 'gatew'],
      ['gateway.yaml', 'gateway.sock'],
    ],
    [['status', ''], []],
    [['lookup', ''], []],
    [['keys', 'new', '--name', ''], []],
    [
      ['nonsense', 'more', ''],
      ['run', 'status'],
    ],
  ])('%j', async (words, expected) => {
    const found = await bash(...words);
    if (words[0] === 'nonsense') expect(found).toEqual(expect.arrayContaining(expected));
    else expect(found.sort()).toEqual([...expected].sort());
  });

  test('completes backends that the daemon names, but for those that a shell could take for something else', async () => {
    const offers = (words: string[], expected: string[]) => eventually(() => bash(...words), expected);
    await offers(['drain', '-c', config, ''], ['web-1', 'web-2', 'api']);
    await offers(['drain', '--config', '=', config, 'web'], ['web-1', 'web-2']);
    await offers(['move', '-c', config, 'some session', 'a'], ['api']);
    await offers(['backend', 'set', '-c', config, '--id', '5', 'w'], ['web-1', 'web-2']);
    expect(await bash('shed', '-c', config, 'web-1', '')).toEqual([]);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });

  test('says nothing where the daemon is away, says nothing, or has no configuration', async () => {
    expect(await bash('drain', '-c', silent, '')).toEqual([]);
    expect(await bash('drain', '-c', join(folder, 'none'), '')).toEqual([]);
    for (const file of [silent, join(folder, 'none')])
      expect(await gateway(['complete-backends', '-c', file])).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('at the prompt, by the key', async () => {
    const command = 'stty cols 200; exec bash --norc --noprofile -i';
    const PATH = `${join(folder, 'bin')}:${dirname(process.execPath)}:${process.env['PATH']}`;
    const env = { ...process.env, PATH, PS1: '> ', TERM: 'dumb' };
    const child = spawn('script', ['-qec', command, '/dev/null'], { cwd: folder, env });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    try {
      child.stdin.write('source ./bash; echo sourced\n');
      await until(async () => /^sourced/m.test(output));
      child.stdin.write('gateway drain -c gateway.yaml ap');
      await until(async () => {
        child.stdin.write('\t');
        return output.includes('gateway.yaml api ');
      });
    } finally {
      // The terminal goes with it, and so does the shell.
      child.kill('SIGKILL');
      await ended;
    }
  });
});

test.runIf(existsSync('/usr/bin/zsh'))('zsh takes its script', async () => {
  expect(await run('zsh', ['-n', join(folder, 'zsh')])).toEqual({ stdout: '', stderr: '' });
});

describe.runIf(existsSync('/usr/bin/fish'))('fish', () => {
  const fish = async (line: string): Promise<string[]> => {
    const script = `source ${join(folder, 'fish')}; complete -C ${JSON.stringify(line)}`;
    const PATH = `${join(folder, 'bin')}:${process.env['PATH']}`;
    const { stdout } = await run('fish', ['--no-config', '-c', script], { env: { ...process.env, PATH } });
    return stdout.split('\n').flatMap((found) => (found === '' ? [] : [found.split('\t')[0] ?? '']));
  };

  test.each([
    ['gateway back', ['backend', 'backends']],
    ['gateway backend ', ['remove', 'set']],
    ['gateway backend set --we', ['--weight']],
    ['gateway run --log-level f', ['fatal']],
    ['gateway completion ', ['bash', 'fish', 'zsh']],
  ])('%s', async (line, expected) => {
    expect((await fish(line)).sort()).toEqual(expected);
  });

  test('completes backends', async () => {
    await eventually(() => fish(`gateway drain -c ${config} w`), ['web-1', 'web-2']);
  });
});
