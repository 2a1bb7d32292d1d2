/**
 * `gateway bench`: the benchmarks of the source, which compile programs of their own and so are no part of the published package. May be
 * imported by src/gateway only.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { failure } from '../errors.ts';
import { packageFile } from '../package-files.ts';
import { addCommand } from './common.ts';

export function addBench(program: Command): void {
  addCommand(program, 'bench', {
    description:
      'Measure the gateway on this machine beside a bare echo, user space, Redis and memcached (in a checkout of the source).',
    notes: 'Needs root and two CPUs. Touches no network of yours.',
    example: 'gateway bench --quick',
    shared: [],
  })
    .argument(
      '[arguments...]',
      'as of "npm run bench -- …": --quick, --only SECTIONS, --json FILE, --plots FOLDER; or another benchmark',
    )
    .allowUnknownOption()
    .action((args: string[]) => {
      const bench = packageFile('bench/main.ts');
      if (!existsSync(bench)) throw failure('BENCH_NOT_HERE', { looked: bench });
      // The bounds on memory that bin/gateway sets are the daemon's.
      const { MALLOC_ARENA_MAX: _, ...env } = process.env;
      const run = (command: string, ...rest: string[]): number =>
        spawnSync(command, rest, { stdio: 'inherit', env }).status ?? 1;
      process.exitCode = run(packageFile('scripts/ready')) || run(process.execPath, bench, ...args);
    });
}
