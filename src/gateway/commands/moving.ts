/**
 * Commands that move users between backends: `gateway drain`, `undrain`, `down`, `shed` and `move`
 * (docs/moving-users.md). May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { BackendPatch } from '../../sync/functions.ts';
import { hundredths } from './arguments.ts';
import { recordText } from './backend.ts';
import { type ConfigOption, type JsonOption, print, printJson, withConfig, withJson } from './common.ts';
import { withDirectory } from './directory.ts';
import { readSessionId } from './session-id.ts';
import { printable } from './text.ts';

type Options = ConfigOption & JsonOption;

const STATES = [
  {
    command: 'drain',
    state: 'draining',
    description:
      'Answer all users of a backend with other ones. Their records stay; "gateway undrain" brings them back.',
  },
  {
    command: 'undrain',
    state: 'active',
    description: 'Make a backend active again that is draining or down: its users come back to it.',
  },
  {
    command: 'down',
    state: 'down',
    description: 'Say that a backend does not work: its users are answered with other ones, as with "gateway drain".',
  },
] as const;

const NO_DAEMON = '\nNeeds no daemon, and goes for every gateway.\n';

export function addMoving(program: Command): void {
  for (const { command, state, description } of STATES) {
    withJson(withConfig(program.command(command)))
      .description(description)
      .argument('<name>', 'name of the backend')
      .addHelpText('after', `${NO_DAEMON}\nExample: gateway ${command} web-1`)
      .action((name: string, options: Options) => patch(name, { state }, options));
  }

  withJson(withConfig(program.command('shed')))
    .description(
      'Answer a part of a backend’s users with other ones. More moves further ones, less brings the last ones back.',
    )
    .argument('<name>', 'name of the backend')
    .argument('<percent>', 'part of its users, 0 to 100, with at most two decimals', hundredths)
    .addHelpText('after', `${NO_DAEMON}\nExample: gateway shed web-1 12.5`)
    .action((name: string, shed: number, options: Options) => patch(name, { shed }, options));

  withJson(withConfig(program.command('move')))
    .description('Move one session to another backend. Its end stays.')
    .argument('<sid>', 'session id; - reads it from standard input')
    .argument('<name>', 'name of the backend')
    .addHelpText(
      'after',
      `${NO_DAEMON}It is written into the session's record, which must be in hash form. Where the backend is draining, down or shedding, the user is answered
with another one all the same.

Example: printf %s "$SID" | gateway move - web-2`,
    )
    .action(async (argument: string, name: string, { config, json }: Options) => {
      const sid = await readSessionId(argument, process.stdin);
      const { from } = await withDirectory(config, (directory) => directory.moveSession(sid, name));
      if (json) printJson({ from, to: name });
      else if (from === name) print(`the session is on ${printable(name)} already`);
      else print(`the session is moved from ${printable(from)} to ${printable(name)}`);
    });
}

async function patch(name: string, fields: BackendPatch, { config, json }: Options): Promise<void> {
  const record = await withDirectory(config, (directory) => directory.patchBackend(name, fields));
  if (json) printJson(record);
  else print(recordText(record));
}
