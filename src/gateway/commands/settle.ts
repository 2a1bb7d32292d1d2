/**
 * `gateway settle`: writes where a backend's users are answered to now into their records. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { SettleProgress, SettleResult } from '../settle.ts';
import { SETTLE_RATE_DEFAULT, SETTLE_RATE_MAX } from '../settle-rates.ts';
import {
  addCommand,
  type ConfigOption,
  integer,
  interruptible,
  type JsonOption,
  print,
  printJson,
  withBackend,
} from './common.ts';
import { withDirectory } from './directory.ts';
import { number, printable, table } from './text.ts';

const BAR_WIDTH = 30;

interface Options extends ConfigOption, JsonOption {
  readonly rate: number;
  readonly dryRun?: boolean;
}

export function addSettle(program: Command): void {
  const settle = addCommand(program, 'settle', {
    description: 'Write where a backend’s users are answered to now into their records, so that it can go for good.',
    notes:
      "Needs no daemon. Nobody's answer changes, also where it is stopped by Ctrl-C; the same command goes on then. Sessions must be in hash form.",
    example: 'gateway drain web-1 && gateway settle web-1 && gateway backend remove web-1',
  });
  withBackend(settle, 'name of the backend: one that is draining, down or shedding')
    .option(
      '--rate <number>',
      `sessions moved a second, at most, 1 to ${SETTLE_RATE_MAX}`,
      integer(1, SETTLE_RATE_MAX),
      SETTLE_RATE_DEFAULT,
    )
    .option('--dry-run', 'only count what would be moved')
    .action(async (name: string, { config, json, rate, dryRun = false }: Options) => {
      const bar = !json && process.stderr.isTTY ? new ProgressBar(process.stderr) : undefined;
      try {
        const onProgress = (progress: SettleProgress) => bar?.show(progress);
        const result = await interruptible((signal) => {
          const options = { rate, dryRun, signal, onProgress };
          return withDirectory(config, (directory) => directory.settle(name, options));
        });
        bar?.clear();
        if (json) printJson(result);
        else print(settledText(name, result, dryRun));
      } finally {
        bar?.clear();
      }
    });
}

export function settledText(name: string, result: SettleResult, dryRun: boolean): string {
  const { moved, targets, staying, changed, complete } = result;
  const shown = printable(name);
  const [sessions, are] = moved === 1 ? ['session', 'is'] : ['sessions', 'are'];
  const lines = [`${number(moved)} ${sessions} ${dryRun ? 'would be' : are} moved from ${shown}`];
  const rows = Object.entries(targets).sort(([, a], [, b]) => b - a);
  if (rows.length > 0) lines.push(table(rows.map(([target, count]) => [`  to ${printable(target)}`, count])));
  if (changed > 0) lines.push(`ended or moved elsewhere meanwhile: ${number(changed)}`);
  if (staying > 0) lines.push(`staying on ${shown}, where they are answered to: ${number(staying)}`);
  if (!complete)
    lines.push(`sessions are still being stored on ${shown}: let their writers stop that, and run this again`);
  return lines.join('\n');
}

/** One line that is written over, on a terminal. */
class ProgressBar {
  readonly #terminal: NodeJS.WriteStream;
  #isShown = false;

  constructor(terminal: NodeJS.WriteStream) {
    this.#terminal = terminal;
  }

  show({ pass, part, moved }: SettleProgress): void {
    const filled = Math.round(part * BAR_WIDTH);
    const bar = `${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}`;
    const again = pass === 1 ? '' : `, looking again (${pass})`;
    this.#terminal.write(`\r[${bar}] ${Math.floor(100 * part)} %, ${number(moved)} moved${again}\u001b[K`);
    this.#isShown = true;
  }

  clear(): void {
    if (this.#isShown) this.#terminal.write('\r\u001b[K');
    this.#isShown = false;
  }
}
