/**
 * What commands share: their options, their output. May be imported by src/gateway/commands only.
 */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';

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
