/**
 * Fuzzes the C of bpf/, compiled for this machine with sanitizers: `npm run fuzz -- --minutes 30`, shared out among the
 * targets. What a run finds new goes into test/fuzz/corpus, minimised, with --keep. A crash stays in build/fuzz, with
 * the command that repeats it; exit status 1.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { programOptions, wrong } from '../../scripts/program-options.ts';
import { writeSeeds } from './seeds.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const OUT = fileURLToPath(new URL('../../build/fuzz', import.meta.url));

/** Targets, and the longest input of each in bytes. */
export const TARGETS = { frame: 1250, signed: 102, changes: 640 } as const;
export type Target = keyof typeof TARGETS;

export function build(): void {
  execFileSync('make', ['--silent', '-C', HERE], { stdio: ['ignore', 'inherit', 'inherit'] });
}

export interface FuzzResult {
  exitCode: number | null;
  /** What libFuzzer says. */
  report: string;
}

/** Runs one target over the corpus, the seeds and what it makes of them. @param limit when to stop: `-runs=N` or `-max_total_time=S` */
export function fuzz(target: Target, ...limit: string[]): FuzzResult {
  const [found, seeds, crashes] = ['found', 'seeds', 'crashes'].map((part) => join(OUT, part, target));
  if (found === undefined || seeds === undefined || crashes === undefined)
    throw new Error('three names, three folders');
  fs.rmSync(found, { recursive: true, force: true });
  for (const directory of [found, seeds, crashes]) fs.mkdirSync(directory, { recursive: true });
  writeSeeds(target, seeds);
  const args = [...limit, `-max_len=${TARGETS[target]}`, `-artifact_prefix=${crashes}/`, '-print_final_stats=1'];
  const { status, stderr } = spawnSync(join(OUT, target), [...args, found, corpus(target), seeds], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return { exitCode: status, report: stderr };
}

const corpus = (target: Target): string => join(HERE, 'corpus', target);

/** Takes into the corpus what reaches something that nothing there reaches, and drops what others reach with fewer bytes. */
function keep(target: Target): void {
  const merged = join(OUT, 'merged', target);
  fs.rmSync(merged, { recursive: true, force: true });
  fs.mkdirSync(merged, { recursive: true });
  const from = [corpus(target), join(OUT, 'found', target), join(OUT, 'seeds', target)];
  execFileSync(join(OUT, target), ['-merge=1', `-max_len=${TARGETS[target]}`, merged, ...from], { stdio: 'ignore' });
  fs.rmSync(corpus(target), { recursive: true });
  fs.cpSync(merged, corpus(target), { recursive: true });
}

function main(): void {
  const values = programOptions('npm run fuzz --', 'Fuzzes the C of bpf/, compiled for this machine with sanitizers.', {
    minutes: { type: 'string', default: '5', value: 'N', about: 'how long to go on, shared out among the targets' },
    keep: { type: 'boolean', default: false, about: 'keep what is found new in the corpus' },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 10_080)) {
    wrong(`--minutes: found "${values.minutes}", allowed: a number above 0, at most 10080 (a week)`);
  }
  const targets = Object.keys(TARGETS) as Target[];
  build();
  for (const target of targets) {
    const { exitCode, report } = fuzz(target, `-max_total_time=${Math.ceil((minutes * 60) / targets.length)}`);
    if (exitCode !== 0) {
      console.error(report.split('\n').slice(-60).join('\n'));
      console.error(`${target} failed; again: ${relative(process.cwd(), join(OUT, target))} <the file named above>`);
      process.exitCode = 1;
      continue;
    }
    const runs = Number(/executed_units: +(\d+)/.exec(report)?.[1]);
    const edges = /DONE +cov: (\d+)/.exec(report)?.[1];
    console.log(`${target}: ${runs.toLocaleString('en')} inputs, ${edges} edges, no failure`);
    if (values.keep) keep(target);
  }
}

if (import.meta.main) main();
