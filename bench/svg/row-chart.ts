/**
 * Charts of rows as SVG: a bar for each, from the left edge, or dots on a line, on a linear or logarithmic axis. May be imported by
 * bench only.
 */
import { card, colourOf, line, text, tick } from './elements.ts';

export interface RowOfChart {
  readonly name: string;
  /** One value is a bar, several are dots, in the order of `series`. */
  readonly values: readonly number[];
  /** Least and most of a bar's value. */
  readonly range?: readonly [number, number];
  /** Behind it; its values where it is left out. */
  readonly note?: string;
  /** Drawn in another colour. */
  readonly marked?: boolean;
}

export interface RowChart {
  readonly title: string;
  readonly about: string;
  readonly axis: string;
  readonly scale: 'linear' | 'logarithmic';
  readonly rows: readonly RowOfChart[];
  /** What the dots are. */
  readonly series?: readonly string[];
}

const WIDTH = 860;
const LEFT = 270;
const RIGHT = 130;
const TOP = 62;
const ROW = 26;
const BAR = 15;
const FOOT = 50;
/** At most, from end to end. */
const GRID_LINES = 5;

export function rowChart(chart: RowChart): string {
  const { rows, series = [] } = chart;
  const bottom = TOP + rows.length * ROW;
  const axis = axisOf(chart);
  const x = (value: number): string => (LEFT + axis.part(value) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const parts = axis.ticks.flatMap((value) => [
    line(x(value), String(TOP - 4), x(value), String(bottom), 'grid'),
    text(x(value), String(bottom + 16), 'middle', tick(value), 11),
  ]);
  parts.push(...rows.flatMap((row, i) => drawRow(row, TOP + i * ROW, x)));
  parts.push(text('20', '26', 'start', chart.title, 15));
  parts.push(text('20', '46', 'start', chart.about, 11));
  parts.push(text(String(WIDTH - RIGHT), String(bottom + 34), 'end', chart.axis, 11));
  series.forEach((name, i) => {
    parts.push(
      dot(LEFT + i * 90, bottom + 30, i),
      text(String(LEFT + i * 90 + 9), String(bottom + 34), 'start', name, 11),
    );
  });
  return card(WIDTH, bottom + FOOT, chart.title, parts);
}

function drawRow(row: RowOfChart, top: number, x: (value: number) => string): string[] {
  const middle = top + ROW / 2;
  const parts = [text(String(LEFT - 10), String(middle + 4), 'end', row.name)];
  const [first = 0] = row.values;
  const last = row.values.at(-1) ?? first;
  if (row.values.length === 1) {
    const { name, light } = colourOf(row.marked === true ? 1 : 0);
    const width = Math.max(1, Number(x(first)) - LEFT).toFixed(1);
    parts.push(
      `<rect x="${LEFT}" y="${middle - BAR / 2}" width="${width}" height="${BAR}" class="fill-${name}" fill="${light}"/>`,
    );
  }
  const [low, high] = row.range ?? [first, last];
  if (low !== high) parts.push(line(x(low), String(middle), x(high), String(middle), 'range'));
  if (row.values.length > 1) parts.push(...row.values.map((value, i) => dot(Number(x(value)), middle, i)));
  const behind = Number(x(Math.max(last, high))) + 8;
  parts.push(text(behind.toFixed(1), String(middle + 4), 'start', row.note ?? row.values.map(tick).join(' · '), 11));
  return parts;
}

function dot(x: number, y: number, series: number): string {
  const { name, light } = colourOf(series);
  return `<circle cx="${x.toFixed(1)}" cy="${y}" r="5" class="fill-${name}" fill="${light}"/>`;
}

interface Axis {
  readonly ticks: readonly number[];
  /** Where a value lies between both ends, 0 to 1. */
  readonly part: (value: number) => number;
}

function axisOf({ rows, scale }: RowChart): Axis {
  const all = rows.flatMap(({ values, range = [] }) => [...values, ...range]).filter((value) => value > 0);
  const most = Math.max(...all);
  if (scale === 'linear') {
    const step = roundUp(most / GRID_LINES);
    const steps = Math.ceil(most / step);
    const ticks = Array.from({ length: steps + 1 }, (_, i) => i * step);
    return { ticks, part: (value) => value / (step * steps) };
  }
  const first = Math.floor(Math.log10(Math.min(...all)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(most)));
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
  return { ticks, part: (value) => Math.max(0, (Math.log10(value) - first) / (last - first)) };
}

/** To 1, 2 or 5 times a power of ten. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5].find((factor) => factor * power >= value) ?? 10);
}
