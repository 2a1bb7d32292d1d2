/**
 * `gateway reload-keys`, `gateway keys list` and `gateway keys new`. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { KeyInfo, KeyReload } from '../ports.ts';
import { addCommand, type ConfigOption, integer, type JsonOption, print, printJson } from './common.ts';
import { table } from './text.ts';

const KEY_ID_MAX = 0xffff_ffff;

interface NewKeyOptions {
  readonly id?: number;
  readonly name?: string;
}

export function addKeys(program: Command): void {
  addCommand(program, 'reload-keys', {
    description: 'Make the daemon read the key file again, and apply it whole or not at all.',
    notes: 'Prints what changed, never a secret.',
    example: 'gateway reload-keys',
  }).action(async ({ config, json }: ConfigOption & JsonOption) => {
    const { askConfigured } = await import('../control/ask.ts');
    const reload = (await askConfigured(config, { method: 'POST', path: '/v1/keys/reload' })) as KeyReload;
    if (json) printJson(reload);
    else print(reloadText(reload));
  });

  const keys = program.command('keys').description('The secrets that load balancers ask with.');

  addCommand(keys, 'list', {
    description: 'List the keys in force, without their secrets.',
    example: 'gateway keys list',
  }).action(async ({ config, json }: ConfigOption & JsonOption) => {
    const { askConfigured } = await import('../control/ask.ts');
    const answer = (await askConfigured(config, { method: 'GET', path: '/v1/keys' })) as { keys: KeyInfo[] };
    if (json) printJson(answer);
    else print(keysText(answer.keys));
  });

  addCommand(keys, 'new', {
    description: 'Print a new key, with its secret, as an entry for the key file.',
    example: 'gateway keys new --name edge-fleet >> config/keys.yaml && gateway reload-keys',
  })
    .option(
      '--id <id>',
      `id of the key, 1 to ${KEY_ID_MAX} (without it the one after the highest in the key file)`,
      integer(1, KEY_ID_MAX),
    )
    .option('--name <name>', 'name of the key, for people (without it key-<id>)')
    .action(async ({ config, json, id, name }: ConfigOption & JsonOption & NewKeyOptions) => {
      const { createKey } = await import('../new-key.ts');
      const created = createKey({ id, name }, config);
      if (json) printJson(created.fields);
      else print(created.text);
    });
}

function reloadText({ added, removed, changed, kept }: KeyReload): string {
  const lines = [
    ...added.map(({ id, name }) => `added    ${id} ${name}`),
    ...changed.map(({ id, name, fields }) => `changed  ${id} ${name}: ${fields.join(', ')}`),
    ...removed.map(({ id, name }) => `removed  ${id} ${name}`),
    `${kept} unchanged`,
  ];
  return lines.join('\n');
}

function keysText(keys: readonly KeyInfo[]): string {
  if (keys.length === 0) return 'no keys are in force';
  const time = (ms: number | null) => (ms === null ? '-' : new Date(ms).toISOString());
  const rows = keys.map(({ id, name, suite, encrypt, notBeforeMs, notAfterMs, valid, uses }) => {
    return [
      String(id),
      name,
      suite,
      encrypt ? 'yes' : 'no',
      time(notBeforeMs),
      time(notAfterMs),
      valid ? 'yes' : 'no',
      uses,
    ];
  });
  return table([['ID', 'NAME', 'SUITE', 'ENCRYPT', 'NOT BEFORE', 'NOT AFTER', 'VALID NOW', 'REQUESTS'], ...rows]);
}
