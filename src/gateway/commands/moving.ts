/**
 * Commands that move users between backends: `gateway drain`, `undrain`, `down`, `shed` and `move`
 * (docs/moving-users.md). May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { BackendPatch } from '../../sync/redis/functions.ts';
import type { BackendRecord } from '../ports.ts';
import { hundredths } from './arguments.ts';
import { recordText } from './backend.ts';
import {
  addCommand,
  type ConfigOption,
  type JsonOption,
  print,
  printJson,
  withBackend,
  withSessionId,
} from './common.ts';
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

const NO_DAEMON = 'Needs no daemon, and goes for every gateway.';

export function addMoving(program: Command): void {
  for (const { command, state, description } of STATES) {
    withBackend(
      addCommand(program, command, { description, notes: NO_DAEMON, example: `gateway ${command} web-1` }),
    ).action((name: string, options: Options) => patch(name, { state }, options));
  }

  const shed = addCommand(program, 'shed', {
    description:
      'Answer a part of a backend’s users with other ones. More moves further ones, less brings the last ones back.',
    notes: NO_DAEMON,
    example: 'gateway shed web-1 12.5',
  });
  withBackend(shed)
    .argument('<percent>', 'part of its users, 0 to 100, with at most two decimals', hundredths)
    .action((name: string, shed: number, options: Options) => patch(name, { shed }, options));

  const move = addCommand(program, 'move', {
    description: 'Move one session to another backend. Its end stays.',
    notes: `${NO_DAEMON}
It is written into the session's record, which must be in hash form. Where the backend is draining, down or shedding, the user is answered with another one all the same.`,
    example: 'printf %s "$SID" | gateway move - web-2',
  });
  withBackend(withSessionId(move)).action(async (argument: string, name: string, { config, json }: Options) => {
    const sid = await readSessionId(argument, process.stdin);
    const { from } = await withDirectory(config, (directory) => directory.moveSession(sid, name));
    if (json) printJson({ from, to: name });
    else if (from === name) print(`the session is on ${printable(name)} already`);
    else print(`the session is moved from ${printable(from)} to ${printable(name)}`);
  });
}

async function patch(name: string, fields: BackendPatch, { config, json }: Options): Promise<void> {
  const { record, all } = await withDirectory(config, async (directory) => {
    const changed = await directory.patchBackend(name, fields);
    // Who may change a backend and not read them all has changed it all the same.
    const others = json ? undefined : await directory.backends().catch(() => undefined);
    return { record: changed, all: others?.backends ?? [changed] };
  });
  if (json) {
    printJson(record);
    return;
  }
  print(recordText(record));
  const note = nowhereToGo(all);
  if (note !== undefined) print(note);
}

/** Why a change moves nobody; undefined where there is somewhere to go. */
export function nowhereToGo(all: readonly BackendRecord[]): string | undefined {
  const placed = all.filter(({ state, weight }) => state === 'active' && weight > 0);
  if (placed.length === 0)
    return 'no backend is left that is active and has a weight: all users stay where they are stored';
  if (placed.some(({ shed }) => shed === 0)) return undefined;
  return 'all active backends shed: nobody is moved from one to another';
}
