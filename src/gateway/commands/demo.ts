/**
 * `gateway demo`: the whole product on one machine. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { addCommand, type JsonOption } from './common.ts';

export function addDemo(program: Command): void {
  addCommand(program, 'demo', {
    description: 'Show the whole thing on this machine, in network namespaces of its own, and clean up.',
    notes: 'Needs root and redis-server. Touches no network of yours.',
    example: 'gateway demo --keep',
    shared: ['json'],
  })
    .option('--keep', 'leave it running until Ctrl-C', false)
    .action(async ({ keep, json = false }: JsonOption & { keep: boolean }) => {
      const { runDemo } = await import('../demo/demo.ts');
      process.exitCode = await runDemo({ keep, json });
    });
}
