/** Examples in the help of each command: they are there, and are right as far as that can be told without doing them. */
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { commandLine } from '../../../src/gateway/command-line.ts';

/** Commands that do something, by their names. */
function leaves(command: Command, path: readonly string[] = []): [string, Command][] {
  if (command.commands.length === 0) return [[path.join(' '), command]];
  return command.commands.flatMap((below) => leaves(below, [...path, below.name()]));
}

const HIDDEN = ['complete-backends'];
const commands = leaves(commandLine()).filter(([name]) => !HIDDEN.includes(name));

function examplesOf(command: Command): string[] {
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  const [, examples = ''] = help.split('\nExample: ');
  return examples.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
}

/** Of a command line for a shell the words of each command, without redirections. */
function commandsIn(line: string): string[][] {
  const words = line.match(/'[^']*'|"[^"]*"|\S+/g) ?? [];
  const found: string[][] = [[]];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (['|', '&&', ';'].includes(word)) found.push([]);
    else if (/^>>?$/.test(word)) i += 1;
    else found.at(-1)?.push(word.replace(/^(['"])(.*)\1$/, '$2'));
  }
  return found;
}

describe.each(commands)('%s', (name, command) => {
  const examples = examplesOf(command);

  test('has an example of itself', () => {
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) expect(example).toMatch(new RegExp(`(^|[|&;] )gateway ${name}\\b`));
  });

  test.each(examples.length > 0 ? examples : ['-'])('%s', (example) => {
    for (const [program, ...args] of commandsIn(example)) {
      if (program !== 'gateway') continue;
      const ran: string[] = [];
      const parser = commandLine();
      for (const [other, leaf] of leaves(parser)) leaf.action(() => void ran.push(other));
      parser.parse(args, { from: 'user' });
      expect(ran).toHaveLength(1);
      expect(args.join(' ')).toMatch(new RegExp(`^${ran[0]}\\b`));
    }
  });
});
