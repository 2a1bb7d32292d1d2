/**
 * `gateway fact set`, `get`, `remove` and `watch`: small values that all machines agree on. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { GatewayError } from '../errors.ts';
import type { FactRecord } from '../ports.ts';
import { addCommand, type ConfigOption, interruptible, type JsonOption, print, printJson } from './common.ts';
import { withDirectory } from './directory.ts';
import { printable } from './text.ts';

type Options = ConfigOption & JsonOption;

const WATCH_EVERY_MS = 200;

export function addFact(program: Command): void {
  const fact = program.command('fact').description('Small values that every gateway serves, as a version or a switch.');

  addCommand(fact, 'set', {
    description: 'Set a fact.',
    notes: 'Needs no daemon.',
    example: 'gateway fact set dataset 2026-11-24',
  })
    .argument('<name>', 'name of the fact')
    .argument('<value>', 'its value, at most 24 bytes')
    .action(async (name: string, value: string, { config, json }: Options) => {
      const record = await withDirectory(config, (directory) => directory.setFact(name, value));
      if (json) printJson(record);
      else print(`${printable(name)} is set`);
    });

  addCommand(fact, 'get', {
    description: 'Print a fact’s value, as Redis has it.',
    notes: 'Needs no daemon. Bytes that are no text are printed in hex.',
    example: 'gateway fact get dataset',
  })
    .argument('<name>', 'name of the fact')
    .action(async (name: string, { config, json }: Options) => {
      const record = await withDirectory(config, (directory) => directory.fact(name));
      if (json) printJson(record);
      else print(valueText(record));
    });

  addCommand(fact, 'remove', {
    description: 'Remove a fact.',
    notes: 'Needs no daemon.',
    example: 'gateway fact remove dataset',
  })
    .argument('<name>', 'name of the fact')
    .action(async (name: string, { config, json }: Options) => {
      await withDirectory(config, (directory) => directory.removeFact(name));
      if (json) printJson({ name });
      else print(`${printable(name)} is removed`);
    });

  addCommand(fact, 'watch', {
    description: 'Print a fact’s value, and again whenever it is set or removed, until Ctrl-C.',
    notes: `Needs no daemon: asks Redis five times a second, and so shows the last of changes that follow faster. A line each: when it was seen, and the value, or "(none)"; with --json an object each.`,
    example: 'gateway fact watch dataset',
  })
    .argument('<name>', 'name of the fact')
    .action(async (name: string, { config, json }: Options) => {
      const tell = (record: FactRecord | null): void => {
        const seenAt = new Date().toISOString();
        if (json) print(JSON.stringify(record ?? { name, value: null, hex: null, version: null }));
        else print(`${seenAt}  ${record === null ? '(none)' : valueText(record)}`);
      };
      await interruptible((signal) => watch(name, config, signal, tell));
    });
}

/** @param tell given the fact, null where there is none, at first and after each change */
async function watch(
  name: string,
  config: string | undefined,
  signal: AbortSignal,
  tell: (record: FactRecord | null) => void,
): Promise<void> {
  const { sleep, systemRuntime } = await import('../../sync/runtime.ts');
  await withDirectory(config, async (directory) => {
    let last: string | undefined;
    let isLost = false;
    while (!signal.aborted) {
      try {
        const record = await orNone(directory.fact(name));
        const now = JSON.stringify(record);
        if (now !== last) tell(record);
        last = now;
        isLost = false;
      } catch (error) {
        // At the start it is told and ends; later Redis may come back.
        if (last === undefined || !(error instanceof GatewayError)) throw error;
        if (!isLost) process.stderr.write(`gateway: ${error.code}: ${error.message}\n`);
        isLost = true;
      }
      await sleep(systemRuntime, WATCH_EVERY_MS, signal);
    }
  });
}

async function orNone(asked: Promise<FactRecord>): Promise<FactRecord | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'FACT_UNKNOWN') return null;
    throw error;
  }
}

function valueText({ value, hex }: FactRecord): string {
  return value === null ? `0x${hex}` : printable(value);
}
