/**
 * What commands share: their options, their output. May be imported by src/gateway/commands only.
 */
import { Argument, type Command, InvalidArgumentError } from 'commander';
import { wrapped } from './text.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export interface ConfigOption {
  /** Path of the configuration file. */
  readonly config?: string;
}

export interface JsonOption {
  readonly json?: boolean;
}

/** The options that nearly all commands have. */
const SHARED = {
  config: [
    '-c, --config <file>',
    'configuration file (without it config/gateway.yaml, then /etc/session-gateway/gateway.yaml)',
  ],
  json: ['--json', 'print JSON'],
} as const;

export interface Described {
  readonly description: string;
  /** What else one must know, below the options; it is brought into lines. */
  readonly notes?: string;
  /** One, or several: command lines that work as they stand, but for their names. */
  readonly example: string | readonly string[];
  /** Those of the shared options that it has, where it hasn't all. */
  readonly shared?: readonly (keyof typeof SHARED)[];
}

/** A command of `parent` that explains itself as all do. */
export function addCommand(
  parent: Command,
  name: string,
  { description, notes, example, shared = ['config', 'json'] }: Described,
): Command {
  const command = parent.command(name).description(description);
  for (const option of shared) {
    const [flags, explanation] = SHARED[option];
    command.option(flags, explanation);
  }
  const examples = [example].flat().join(`\n${' '.repeat('Example: '.length)}`);
  const explained = notes === undefined ? '' : `\n${wrapped(notes, process.stdout.columns)}\n`;
  return command.addHelpText('after', `${explained}\nExample: ${examples}`);
}

const BACKENDS = new WeakSet<Argument>();

/** With a backend's name as the next argument, which shells complete. */
export function withBackend(command: Command, description = 'name of the backend'): Command {
  const argument = new Argument('<name>', description);
  BACKENDS.add(argument);
  return command.addArgument(argument);
}

export function isBackend(argument: Argument): boolean {
  return BACKENDS.has(argument);
}

/** With a session id as the next argument, for `readSessionId`. */
export function withSessionId(command: Command): Command {
  return command.argument(
    '<sid>',
    'session id; - reads it from standard input, which keeps it out of process lists; one that begins with - comes after --',
  );
}

/**
 * Runs what goes on for a while.
 * @param action is given a signal that is aborted by the first SIGINT or SIGTERM; a second one ends the process
 * @param reason of the abortion
 */
export async function interruptible<T>(action: (signal: AbortSignal) => Promise<T>, reason?: Error): Promise<T> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort(reason);
  for (const signal of SIGNALS) process.once(signal, stop);
  try {
    return await action(stopping.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
  }
}

/** An option's or argument's value as a whole number. */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Allowed: a whole number, ${min} to ${max}.`);
    }
    return value;
  };
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? item.toString() : item), 2));
}
