/**
 * Options of the checkout's own programs, as benchmarks and the fuzzer: read, or refused in one line, and told by --help. May be
 * imported by everything but src and integrations.
 */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

/** An option of parseArgs with what --help says of it; its default is added to that. */
type Options = Record<string, ParseArgsOptionsConfig[string] & { readonly value?: string; readonly about: string }>;
type Values<O extends Options> = ReturnType<typeof parseArgs<{ options: O }>>['values'];

/**
 * Ends the process for --help, with exit status 0, and for arguments that aren't allowed, with 2.
 * @param command how the program is started
 * @param about what it does, in a sentence
 */
export function programOptions<const O extends Options>(command: string, about: string, options: O): Values<O> {
  const help = { type: 'boolean', short: 'h', about: 'show this' } as const;
  const all: Options = { ...options, help };
  let values: ReturnType<typeof parseArgs>['values'];
  try {
    ({ values } = parseArgs({ options: all }));
  } catch (error) {
    // What follows is advice on positional arguments, which no program takes.
    const [problem] = (error instanceof Error ? error.message : String(error)).split(/\. |\n/);
    return wrong(`${problem}: --help shows what is allowed`);
  }
  if (values['help'] === true) {
    process.stdout.write(usage(command, about, all));
    process.exit(0);
  }
  return values as Values<O>;
}

function usage(command: string, about: string, options: Options): string {
  const rows = Object.entries(options).map(([name, { value, about, default: usual }]) => {
    const isTold = usual !== undefined && usual !== false && usual !== '';
    return {
      option: value === undefined ? `--${name}` : `--${name} ${value}`,
      about,
      usual: isTold ? usual : undefined,
    };
  });
  const width = Math.max(...rows.map(({ option }) => option.length));
  const lines = rows.map(
    ({ option, about, usual }) =>
      `  ${option.padEnd(width)}  ${about}${usual === undefined ? '' : `, ${usual} unless told`}\n`,
  );
  return `usage: ${command} ${rows.map(({ option }) => `[${option}]`).join(' ')}\n\n${about}\n\n${lines.join('')}`;
}

/** The value of an option as a number; ends the process where it is not a whole one of these. */
export function integer(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= min && value <= max) return value;
  return wrong(`--${name}: found "${text}", allowed: a whole number from ${min} to ${max}`);
}

/** Ends the process for wrong usage. */
export function wrong(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
