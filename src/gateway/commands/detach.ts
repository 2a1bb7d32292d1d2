/**
 * `gateway detach`: the end of answering. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { failure, reasonOf } from '../errors.ts';
import { type ConfigOption, type JsonOption, print, printJson, withConfig, withJson } from './common.ts';

export function addDetach(program: Command): void {
  withJson(withConfig(program.command('detach')))
    .description('Take the program off the interfaces and remove its maps: lookups are no longer answered.')
    .addHelpText('after', '\nRefused while a daemon runs: stop that one first.\n\nExample: gateway detach')
    .action(async ({ config, json }: ConfigOption & JsonOption) => {
      const { loadConfig } = await import('../config.ts');
      const { detachAll } = await import('../kernel/datapath.ts');
      const { pins } = loadConfig(config);
      const interfaces = detachFrom(pins, detachAll);
      if (json) printJson({ pins, interfaces });
      else if (interfaces.length === 0) print(`nothing is attached (${pins})`);
      else print(`taken off ${interfaces.join(', ')}`);
    });
}

function detachFrom(pins: string, detachAll: (pins: string) => string[]): string[] {
  try {
    return detachAll(pins);
  } catch (error) {
    throw failure('DETACH_FAILED', { pins, reason: reasonOf(error) }, error);
  }
}
