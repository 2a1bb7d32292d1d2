/**
 * `gateway detach`: the end of answering. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { failure, reasonOf } from '../errors.ts';
import { addCommand, type ConfigOption, type JsonOption, print, printJson } from './common.ts';

export function addDetach(program: Command): void {
  addCommand(program, 'detach', {
    description: 'Take the program off the interfaces and remove its maps: lookups are no longer answered.',
    notes: 'Refused while a daemon runs: stop that one first.',
    example: 'gateway detach',
  }).action(async ({ config, json }: ConfigOption & JsonOption) => {
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
