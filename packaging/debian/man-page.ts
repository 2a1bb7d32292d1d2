/**
 * The manual page gateway(8), made from the tree of commands, in the language of man(7). Imported by build.ts and tests.
 */
import type { Command } from 'commander';

/** Wider than any line of help, which man(1) breaks by itself. */
const UNBROKEN = 10_000;

/** @param built date that the page has at its foot */
export function manPage(program: Command, version: string, built: Date): string {
  const date = built.toISOString().slice(0, 10);
  const [name, summary] = [program.name(), text(program.description()).replace(/\.$/, '')];
  return `${[
    `.TH ${name.toUpperCase()} 8 "${date}" "session-gateway ${version}" "System administration"`,
    '.SH NAME',
    `${name} \\- ${summary.charAt(0).toLowerCase()}${summary.slice(1)}`,
    '.SH SYNOPSIS',
    `.B ${name}`,
    '.I command',
    '[options]',
    '.SH DESCRIPTION',
    'Load balancers ask over UDP, with authenticated requests, on which backend a user’s session is. An XDP program answers from BPF maps,',
    'which a daemon keeps in step with Redis.',
    '.SH OPTIONS',
    ...options(program),
    '.SH COMMANDS',
    ...leaves(program).flatMap(section),
    '.SH EXIT STATUS',
    ...['0', 'done', '1', 'failed', '2', 'wrong usage or configuration'].map((line, i) =>
      i % 2 === 0 ? `.TP\n.B ${line}` : line,
    ),
    '.SH FILES',
    '.TP',
    '.I /etc/session-gateway/gateway.yaml',
    'configuration; each setting is explained there',
    '.TP',
    '.I /usr/share/doc/session-gateway/docs/README.md',
    'where the documentation begins',
  ].join('\n')}\n`;
}

/** The commands that do something, in their order: those without commands below them. */
function leaves(command: Command): Command[] {
  // "help", which is made up only when it is asked for, isn't among them.
  return command.commands.flatMap((below) => (below.commands.length === 0 ? [below] : leaves(below)));
}

function section(command: Command): string[] {
  const help = command.createHelp();
  const terms = help.visibleArguments(command).map((argument) => ({
    term: help.argumentTerm(argument),
    description: help.argumentDescription(argument),
  }));
  return [
    `.SS ${text(help.commandUsage(command))}`,
    text(command.description()),
    ...terms.flatMap(({ term, description }) => ['.TP', `.I ${text(term)}`, text(description)]),
    ...options(command),
    ...notes(command),
  ];
}

function options(command: Command): string[] {
  const help = command.createHelp();
  return help
    .visibleOptions(command)
    .filter(({ long }) => command.parent === null || long !== '--help')
    .flatMap((option) => ['.TP', `.B ${text(help.optionTerm(option))}`, text(help.optionDescription(option))]);
}

/** What a command's help has after its options: remarks, and examples, whose lines stay as they are. */
function notes(command: Command): string[] {
  let whole = '';
  command.configureOutput({
    writeOut: (words) => {
      whole += words;
    },
    getOutHelpWidth: () => UNBROKEN,
  });
  command.outputHelp();
  const after = whole.slice(command.helpInformation().length);
  const [remarks = '', examples = ''] = after.split(/^Example: /m);
  return [
    ...(remarks.trim() === '' ? [] : ['.PP', text(remarks.trim().replace(/\s*\n\s*/g, ' '))]),
    ...(examples === '' ? [] : ['.PP', '.EX', ...examples.trim().split(/\n\s*/).map(text), '.EE']),
  ];
}

/** As it is: without backslashes, and without a line that troff takes for a request. */
function text(words: string): string {
  return words.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/gm, '\\&$&');
}
