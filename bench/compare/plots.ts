/**
 * The comparison as pictures. May be imported by bench only.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rowChart } from '../svg/row-chart.ts';
import { rateText } from './latency.ts';
import { figures, median, type Row, type Section } from './measure.ts';
import { ECHO } from './one-core.ts';

/** A rate that all contenders reach. */
const LATENCY_RATE = rateText(10_000);

/** Writes those whose section was measured. */
export function writePlots(folder: string, sections: readonly Section[]): void {
  for (const [name, chart] of Object.entries(plots(sections))) writeFileSync(join(folder, name), chart);
}

/** By file name. */
export function plots(sections: readonly Section[]): Record<string, string> {
  const rowsOf = (id: string): readonly Row[] | undefined => sections.find((section) => section.id === id)?.rows;
  const [cost, sessions, latency, alternatives] = ['cost', 'sessions', 'latency', 'alternatives'].map(rowsOf);
  const times = latency && latencyPlot(latency);
  return {
    ...(cost && { 'bench-cost.svg': costPlot(cost) }),
    ...(sessions && { 'bench-sessions.svg': sessionsPlot(sessions) }),
    ...(alternatives && {
      'bench-throughput.svg': throughputPlot(alternatives),
      'bench-cpu.svg': cpuPlot(alternatives),
    }),
    ...(times && { 'bench-latency.svg': times }),
  };
}

function bar(row: Row, column: string) {
  const all = figures(row, column);
  const range = [Math.min(...all), Math.max(...all)] as const;
  return { name: row.name, values: [median(all)], range, marked: row.name.startsWith('gateway') };
}

function costPlot(rows: readonly Row[]): string {
  return rowChart({
    title: 'What a lookup costs in the kernel, in bare echoes',
    about:
      'processor time of sender, gateway and counting, relative to a packet that is only sent back; medians, least and most',
    axis: 'bare echoes',
    scale: 'linear',
    rows: rows.filter(({ name }) => !name.startsWith('sender')).map((row) => bar(row, 'echoes')),
  });
}

function sessionsPlot(rows: readonly Row[]): string {
  return rowChart({
    title: 'Cost of a lookup by the number of sessions, in bare echoes',
    about: 'hmac-sha256, all found; processor time of sender, gateway and counting; medians, least and most',
    axis: 'bare echoes',
    scale: 'linear',
    rows: rows.filter(({ name }) => name === ECHO || name.endsWith(' sessions')).map((row) => bar(row, 'echoes')),
  });
}

function throughputPlot(rows: readonly Row[]): string {
  return rowChart({
    title: 'Lookups a second',
    about:
      'echo and gateway: one core with the sender; all others: a core for themselves. Logarithmic; medians, least and most',
    axis: 'lookups/s',
    scale: 'logarithmic',
    rows: rows.map((row) => bar(row, 'perSecond')),
  });
}

function cpuPlot(rows: readonly Row[]): string {
  return rowChart({
    title: 'CPU-seconds per million lookups',
    about: 'soft interrupts included, the sender or client taken out. Logarithmic; medians, least and most',
    axis: 'CPU-seconds',
    scale: 'logarithmic',
    rows: rows.map((row) => bar(row, 'cpu')),
  });
}

/** Of those that kept up with the rate; undefined where none did. */
function latencyPlot(rows: readonly Row[]): string | undefined {
  const ending = `, ${LATENCY_RATE}`;
  const timed = rows.filter((row) => row.name.endsWith(ending) && figures(row, 'p50').length > 0);
  if (timed.length === 0) return undefined;
  return rowChart({
    title: `How long a lookup takes at ${LATENCY_RATE}`,
    about: 'one question at a time, from socket to socket. Logarithmic; medians of the turns',
    axis: 'µs',
    scale: 'logarithmic',
    series: ['p50', 'p99', 'p99.9'],
    rows: timed.map((row) => ({
      name: row.name.slice(0, -ending.length),
      values: ['p50', 'p99', 'p999'].map((column) => median(figures(row, column))),
    })),
  });
}
