/** The manual page: nothing of the command line is missing from it, and nothing in it is taken for a request of troff's. */
import { Command } from 'commander';
import { expect, test } from 'vitest';
import { manPage } from '../../packaging/debian/man-page.ts';
import { commandLine } from '../../src/gateway/command-line.ts';

const BUILT = new Date('2026-12-24T18:00:00Z');

function pathsOf(command: Command, path: string): string[] {
  return command.commands.flatMap((below) => {
    const name = `${path} ${below.name()}`;
    return below.commands.length === 0 ? [name] : pathsOf(below, name);
  });
}

test('every command has its section, and every option of it is there', () => {
  const page = manPage(commandLine(), '1.2.3', BUILT).replaceAll('\\-', '-');
  expect(page).toMatch(/^\.TH GATEWAY 8 "2026-12-24" "session-gateway 1.2.3" /);
  const sections = new Map(
    page.split('\n.SS ').map((section) => [/^[^[<\n]*[^[< \n]/.exec(section)?.[0] ?? '', section]),
  );
  const paths = pathsOf(commandLine(), 'gateway');
  expect(paths.length).toBeGreaterThan(25);
  expect([...sections.keys()].slice(1)).toEqual(paths);
  expect(sections.get('gateway backend set')).toContain('.TP\n.B --weight <weight>\nshare of users');
  expect(sections.get('gateway shed')).toContain('.PP\n.EX\ngateway shed web-1 12.5\n.EE');
});

test('what a command says of itself is text, whatever it begins with', () => {
  const program = new Command('gateway').description('Is.').exitOverride();
  program.command('one').description(".SH no heading\n'no request").argument('<file>', 'a \\fBname');
  expect(manPage(program, '1.2.3', BUILT)).toContain("\\&.SH no heading\n\\&'no request\n.TP\n.I file\na \\efBname\n");
});
