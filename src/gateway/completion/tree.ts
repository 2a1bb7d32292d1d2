/**
 * The command tree as shells complete it: per command what may follow. Made from the commands themselves. Imported by src/gateway/completion
 * and its command.
 */
import type { Argument, Command, Option } from 'commander';
import { isBackend } from '../commands/common.ts';

/** What a value is: a file, a backend's name, one of these words, or something else. */
export type ValueKind = 'file' | 'backend' | 'value' | readonly string[];

export interface CompletedOption {
  /** As `-c` and `--config`. */
  readonly flags: readonly string[];
  readonly description: string;
  /** Null where none follows. */
  readonly value: ValueKind | null;
}

export interface CompletedCommand {
  /** From the program's own name on. */
  readonly path: readonly string[];
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  readonly values: readonly ValueKind[];
}

const HELP: CompletedOption = { flags: ['-h', '--help'], description: 'show what is allowed', value: null };

/** Every command, each before those below it. */
export function completedCommands(command: Command, above: readonly string[] = []): CompletedCommand[] {
  const path = [...above, command.name()];
  const shown = command.createHelp().visibleCommands(command);
  const below = command.commands.filter((one) => shown.includes(one));
  return [
    {
      path,
      commands: below.map((one) => ({ name: one.name(), description: one.description() })),
      options: [...command.options.map(completedOption), HELP],
      values: command.registeredArguments.map(argumentKind),
    },
    ...below.flatMap((one) => completedCommands(one, path)),
  ];
}

function completedOption({ short, long, description, argChoices, flags, required }: Option): CompletedOption {
  const value = required ? (argChoices ?? (/<file>/.test(flags) ? 'file' : 'value')) : null;
  return { flags: [short, long].filter((flag) => flag !== undefined), description, value };
}

function argumentKind(argument: Argument): ValueKind {
  if (isBackend(argument)) return 'backend';
  return argument.argChoices ?? 'value';
}
