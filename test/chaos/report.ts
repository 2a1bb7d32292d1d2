/** What came of each fault, and the table of all of them by kind. */

import type { LookupCounts } from './lookups.ts';
import type { Differences } from './oracle.ts';

export interface FaultResult {
  /** From 1; with the seed it says which fault that was. */
  readonly number: number;
  readonly name: string;
  readonly note: string | null;
  readonly differences: Differences;
  readonly lookups: LookupCounts;
  /** From the moment from which the gateway could recover until it said that it was in step; null = it never said so. */
  readonly inStepAfterMs: number | null;
  /** Why there is no comparison. */
  readonly failure: string | null;
}

export function isGood({ differences, lookups, failure }: FaultResult): boolean {
  return failure === null && differences.count === 0 && lookups.unanswered === 0 && lookups.wrong === 0;
}

export function progressLine(result: FaultResult): string {
  const { number, name, note, differences, lookups, inStepAfterMs, failure } = result;
  const step = inStepAfterMs === null ? 'never in step' : `in step after ${seconds(inStepAfterMs)} s`;
  const words = [
    `${String(number).padStart(4)}  ${name.padEnd(39)}`,
    step.padEnd(22),
    `${differences.count} of ${differences.compared} differ`.padEnd(20),
    `${lookups.asked} lookups, ${lookups.unanswered} unanswered, ${lookups.wrong} wrong`,
    isGood(result) ? '' : '  ✗',
  ];
  const details = [note, ...differences.samples, ...lookups.samples, failure].filter((detail) => detail !== null);
  return [words.join(' ').trimEnd(), ...details.map((detail) => `        ${detail}`)].join('\n');
}

const HEAD = ['fault', 'times', 'differing', 'lookups', 'unanswered', 'wrong', 'in step again, s: median', 'worst'];

/** Markdown, so that it can be kept. */
export function table(results: readonly FaultResult[]): string {
  const names = [...new Set(results.map(({ name }) => name))].sort();
  const rows = names.map((name) =>
    row(
      name,
      results.filter((result) => result.name === name),
    ),
  );
  const all = [HEAD, ...rows, row('all', results)];
  const widths = HEAD.map((_, i) => Math.max(...all.map((cells) => (cells[i] as string).length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(HEAD), rule, ...all.slice(1).map(line)].join('\n');
}

function row(name: string, results: readonly FaultResult[]): string[] {
  const sum = (of: (result: FaultResult) => number): string =>
    results.reduce((total, result) => total + of(result), 0).toLocaleString('en');
  const times = results.flatMap(({ inStepAfterMs }) => inStepAfterMs ?? []).sort((a, b) => a - b);
  const never = results.length - times.length;
  const at = (i: number): string => (times[i] === undefined ? '–' : seconds(times[i]));
  return [
    name,
    String(results.length),
    sum(({ differences }) => differences.count),
    sum(({ lookups }) => lookups.asked),
    sum(({ lookups }) => lookups.unanswered),
    sum(({ lookups }) => lookups.wrong),
    at(Math.floor((times.length - 1) / 2)),
    never > 0 ? `never (${never})` : at(times.length - 1),
  ];
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(2);
}
