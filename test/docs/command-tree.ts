/** Whether the commands of `gateway` that a text names are there, with the options that it gives them. */
import type { Command } from 'commander';

/** Words of shell after which a command begins. */
const BEFORE = /(?:^|[\s;&|(`$])((?:bin\/)?gateway)(?=\s)/g;

export interface Named {
  /** As it stands, to the end of the command. */
  readonly text: string;
  readonly words: readonly string[];
}

/** The commands of `gateway` in lines of shell. */
export function commandsIn(shell: string): Named[] {
  const joined = shell.replaceAll('\\\n', ' ');
  return joined.split('\n').flatMap((line) => {
    const code = line.replace(/(^|\s)#(\s.*)?$/, '');
    return [...code.matchAll(BEFORE)].map((match) => {
      const after = code.slice((match.index ?? 0) + match[0].length);
      const text = after.split(/[;&|)<>`]|\s\d?>/)[0]?.trim() ?? '';
      return { text: `gateway ${text}`, words: text.split(/\s+/).filter(Boolean) };
    });
  });
}

/** @returns what there is not, or undefined where all is there */
export function unknownIn({ words }: Named, program: Command): string | undefined {
  let command = program;
  let at = 0;
  for (; at < words.length; at++) {
    const next = command.commands.find((candidate) => candidate.name() === words[at]);
    if (next === undefined) break;
    command = next;
  }
  const word = words[at];
  if (command.commands.length > 0 && word !== undefined && /^[a-z]/.test(word)) return `no command ${word}`;
  const options = new Set(
    [...command.options, ...program.options].flatMap(({ short, long }) => [short, long]).concat('-h', '--help'),
  );
  for (const option of words.slice(at)) {
    const [name = ''] = option.split('=');
    if (/^--?[a-z]/i.test(name) && !options.has(name)) return `no option ${name} of ${command.name()}`;
  }
  return undefined;
}
