/**
 * What commands share: their options, their output. May be imported by src/gateway/commands only.
 */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { wrapped } from './text.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export interface ConfigOption {
  /** Path of the configuration file. */
  readonly config?: string;
}

export interface JsonOption {
  readonly json?: boolean;
}

export function withConfig(command: Command): Command {
  return command.option(
    '-c, --config <file>',
    'configuration file (without it config/gateway.yaml, then /etc/session-gateway/gateway.yaml)',
  );
}

export function withJson(command: Command): Command {
  return command.option('--json', 'print JSON');
}

export interface Described {
  readonly description: string;
  /** What else one must know, below the options; it is brought into lines. */
  readonly notes?: string;
  readonly example: string;
}

/** A command of `parent` with the options that nearly all have, which explains itself as all do. */
export function addCommand(parent: Command, name: string, { description, notes, example }: Described): Command {
  return withJson(withConfig(parent.command(name)))
    .description(description)
    .addHelpText(
      'after',
      `${notes === undefined ? '' : `\n${wrapped(notes, process.stdout.columns)}\n`}\nExample: ${example}`,
    );
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
