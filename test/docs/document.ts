/** Does what a document says, block by block, and tells what didn't go as it says. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machines, Result } from './machines.ts';
import { type Block, blocksOf, consoleSteps, type Intent, isCommands, looksLike, type PathOn } from './markdown.ts';

const REPEAT_MS = 60_000;
const PAUSE_MS = 100;

export const readDocument = (name: string): Block[] =>
  blocksOf(name, readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));

/** @returns what went wrong at the first block that went wrong; undefined where all went as it says */
export async function follow(blocks: readonly Block[], machines: Machines): Promise<string | undefined> {
  for (const block of blocks) {
    const problem = await carryOut(block, machines);
    if (problem !== undefined) return `${block.at}: ${problem}`;
  }
  return undefined;
}

async function carryOut(block: Block, machines: Machines): Promise<string | undefined> {
  const { intent, text } = block;
  switch (intent.kind) {
    case 'not run':
      return undefined;
    case 'unsaid':
      return isCommands(block) ? 'no comment above says whether it is run: test/docs/markdown.ts' : undefined;
    case 'write':
      return write(machines, intent, text);
    case 'copy': {
      const { from, to } = intent;
      const { exit, stdout, stderr } = await machines.run(from.machine, `cat ${from.path}`);
      if (exit !== 0) return stderr;
      return write(machines, to, stdout, 'umask 077');
    }
    case 'run': {
      const deadline = performance.now() + REPEAT_MS;
      for (;;) {
        const problem = await runOnce(block, intent, machines);
        if (problem === undefined || !intent.isRepeated || performance.now() > deadline) return problem;
        await sleep(PAUSE_MS);
      }
    }
  }
}

async function write(machines: Machines, to: PathOn, text: string, before = ':'): Promise<string | undefined> {
  const folder = to.path.slice(0, to.path.lastIndexOf('/'));
  const script = `mkdir -p ${folder}; ${before}; printf %s "$1" > ${to.path}`;
  const { exit, stderr } = await machines.run(to.machine, text, ['bash', '-euc', script, 'write']);
  return exit === 0 ? undefined : stderr;
}

async function runOnce(
  { language, text }: Block,
  { machine, exit }: Intent & { kind: 'run' },
  machines: Machines,
): Promise<string | undefined> {
  const steps = language === 'console' ? consoleSteps(text) : [{ command: text, prints: undefined }];
  for (const { command, prints } of steps) {
    const result = await machines.run(machine, command);
    if (result.exit !== exit) return told(command, `ends with ${result.exit}, not ${exit}`, result);
    if (prints !== undefined && !looksLike(result.stdout + result.stderr, prints)) {
      return told(command, `prints something else than\n${prints.join('\n')}\n`, result);
    }
  }
  return undefined;
}

const told = (command: string, what: string, { stdout, stderr }: Result): string =>
  `${command.trimEnd()}\n  ${what}:\n${stdout.slice(-2_000)}${stderr.slice(-2_000)}`;
