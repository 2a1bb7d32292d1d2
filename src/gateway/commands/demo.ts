/**
 * `gateway demo`: the whole product on one machine. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { type JsonOption, withJson } from './common.ts';

export function addDemo(program: Command): void {
  withJson(program.command('demo'))
    .description('Show the whole thing on this machine, in network namespaces of its own, and clean up.')
    .option('--keep', 'leave it running until Ctrl-C', false)
    .addHelpText('after', '\nNeeds root and redis-server. Touches no network of yours.\n\nExample: gateway demo --keep')
    .action(async ({ keep, json = false }: JsonOption & { keep: boolean }) => {
      const { runDemo } = await import('../demo/demo.ts');
      process.exitCode = await runDemo({ keep, json });
    });
}
