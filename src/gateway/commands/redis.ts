/**
 * `gateway redis install`: the function library that writers of sessions call. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { addCommand, type ConfigOption, type JsonOption, print, printJson } from './common.ts';
import { withDirectory } from './directory.ts';

const RESULTS = {
  installed: 'installed',
  upgraded: 'installed in the place of an older one',
  current: 'there already',
  newer: 'there already, newer than this one, and left as it is',
} as const;

export function addRedis(program: Command): void {
  const redis = program.command('redis').description('What the gateway needs in Redis.');
  addCommand(redis, 'install', {
    description: 'Install or upgrade the function library that writers of sessions call.',
    notes: 'Needs no daemon. Other commands install it by themselves when they need it.',
    example: 'gateway redis install',
  }).action(async ({ config, json }: ConfigOption & JsonOption) => {
    const result = await withDirectory(config, (directory) => directory.installLibrary());
    if (json) printJson({ result });
    else print(`the function library is ${RESULTS[result]}`);
  });
}
