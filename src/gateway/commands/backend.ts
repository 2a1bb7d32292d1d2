/**
 * `gateway backends`, `gateway backend set` and `gateway backend remove`. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { failure } from '../errors.ts';
import type { BackendList, BackendRecord } from '../ports.ts';
import { type ConfigOption, integer, type JsonOption, print, printJson, withConfig, withJson } from './common.ts';
import { withDirectory } from './directory.ts';
import { printable, table } from './text.ts';

interface SetOptions extends ConfigOption, JsonOption {
  readonly id?: number;
  readonly address?: string;
  readonly weight?: number;
}

export function addBackend(program: Command): void {
  withJson(withConfig(program.command('backends')))
    .description('List the backends that Redis has.')
    .addHelpText('after', '\nNeeds no daemon.\n\nExample: gateway backends')
    .action(async ({ config, json }: ConfigOption & JsonOption) => {
      const list = await withDirectory(config, (directory) => directory.backends());
      if (json) printJson(list);
      else print(listText(list));
      for (const { name, message } of json ? [] : list.faults) {
        process.stderr.write(`gateway: backend ${printable(name)} is wrong in Redis: ${printable(message)}\n`);
      }
    });

  const backend = program.command('backend').description('Change the backends that Redis has.');

  withJson(withConfig(backend.command('set')))
    .description('Add a backend, or change what is given of one.')
    .argument('<name>', 'name of the backend, as sessions have it')
    .option(
      '--id <id>',
      'number of the backend, 1 to 65535; needed for a new one, and its own for ever',
      integer(1, 65_535),
    )
    .option(
      '--address <address>',
      'IP address and port, as 10.0.0.11:8080 or [2001:db8::11]:8080; needed for a new one',
    )
    .option(
      '--weight <weight>',
      'share of users among the backends, 0 to 65535 (100 for a new one)',
      integer(0, 65_535),
    )
    .addHelpText('after', '\nNeeds no daemon.\n\nExample: gateway backend set web-1 --id 1 --address 10.0.0.11:8080')
    .action(async (name: string, { config, json, ...fields }: SetOptions) => {
      if (Object.keys(fields).length === 0) {
        const problem = 'found nothing to set: name --id, --address or --weight';
        throw failure('USAGE_INVALID', { problem, help: 'gateway backend set' });
      }
      const record = await withDirectory(config, (directory) => directory.patchBackend(name, fields));
      if (json) printJson(record);
      else print(listText({ backends: [record], faults: [] }));
    });

  withJson(withConfig(backend.command('remove')))
    .description('Remove a backend. Its users are not found from then on; its id is not given to another name.')
    .argument('<name>', 'name of the backend')
    .addHelpText('after', '\nNeeds no daemon.\n\nExample: gateway backend remove web-1')
    .action(async (name: string, { config, json }: ConfigOption & JsonOption) => {
      await withDirectory(config, (directory) => directory.removeBackend(name));
      if (json) printJson({ name });
      else print(`${printable(name)} is removed`);
    });
}

function listText({ backends }: BackendList): string {
  if (backends.length === 0) return 'there are no backends: add one with "gateway backend set"';
  const row = ({ name, id, address, state, weight, shed }: BackendRecord) => {
    return [printable(name), String(id), address, state, weight, `${shed / 100} %`];
  };
  return table([['NAME', 'ID', 'ADDRESS', 'STATE', 'WEIGHT', 'SHED'], ...backends.map(row)]);
}
