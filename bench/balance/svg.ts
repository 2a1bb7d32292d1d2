/** Line charts as SVG, as small as can be. May be imported by bench only. */

export interface Series {
  readonly name: string;
  /** By position from left to right. */
  readonly values: readonly number[];
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** What one position is worth on the x axis, and from one tick to the next, in the same unit. */
  readonly xStep: number;
  readonly xTick: number;
  /** Most of the y axis; what is higher is cut off. */
  readonly yMax: number;
  readonly yMin?: number;
  /** From one tick to the next, and how one is written. */
  readonly yTick: number;
  readonly yText?: (value: number) => string;
  readonly series: readonly Series[];
  /** Vertical lines. */
  readonly marks?: readonly { readonly at: number; readonly text: string }[];
  /** A horizontal line. */
  readonly level?: { readonly at: number; readonly text: string };
}

const WIDTH = 860;
const HEIGHT = 380;
const LEFT = 70;
const RIGHT = 20;
const TOP = 56;
const BOTTOM = 74;
/** Told apart also by who can't tell red from green (after Okabe and Ito): on a light page, and on a dark one. */
const COLOURS = [
  ['#0072b2', '#56b4e9'],
  ['#d55e00', '#e8863f'],
  ['#009e73', '#2fc79a'],
  ['#b0578d', '#dd9bc2'],
] as const;
/** Pages are light or dark as the reader has set it; what doesn't know of that shows the light one. */
const STYLE = [
  'text{fill:#222}.page{fill:#fff}.grid{stroke:#ddd}.mark{stroke:#999}.level{stroke:#333}',
  ...COLOURS.map(([light], i) => `.line${i}{stroke:${light}}`),
  '@media(prefers-color-scheme:dark){text{fill:#ddd}.page{fill:#0d1117}.grid{stroke:#333}.mark{stroke:#777}.level{stroke:#ccc}',
  ...COLOURS.map(([, dark], i) => `.line${i}{stroke:${dark}}`),
  '}',
].join('');

export function lineChart(chart: Chart): string {
  const { yMin = 0, yMax, xStep, xTick, yTick, yText = tick } = chart;
  const length = Math.max(2, ...chart.series.map(({ values }) => values.length));
  const x = (at: number): string => (LEFT + (at / (length - 1)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value: number): string => {
    const part = (Math.min(Math.max(value, yMin), yMax) - yMin) / (yMax - yMin);
    return (HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  };
  const parts: string[] = [];
  for (let value = yMin; value <= yMax; value += yTick) {
    parts.push(line(x(0), y(value), x(length - 1), y(value), 'grid'));
    parts.push(text(String(LEFT - 8), String(Number(y(value)) + 4), 'end', yText(value)));
  }
  for (let value = 0; value <= (length - 1) * xStep; value += xTick) {
    parts.push(text(x(value / xStep), String(HEIGHT - BOTTOM + 18), 'middle', tick(value)));
  }
  for (const { at, text: what } of chart.marks ?? []) {
    parts.push(line(x(at), String(TOP), x(at), String(HEIGHT - BOTTOM), 'mark', '2 3'));
    parts.push(text(String(Number(x(at)) + 3), String(TOP + 11), 'start', what, 11));
  }
  if (chart.level !== undefined) {
    parts.push(line(x(0), y(chart.level.at), x(length - 1), y(chart.level.at), 'level', '6 4'));
    // Below it, since what is drawn is mostly above.
    parts.push(text(x(length - 1), String(Number(y(chart.level.at)) + 14), 'end', chart.level.text, 11));
  }
  chart.series.forEach(({ name, values }, i) => {
    const colour = `line${i % COLOURS.length}`;
    const points = values.map((value, at) => `${x(at)},${y(value)}`).join(' ');
    parts.push(`<polyline points="${points}" fill="none" class="${colour}" stroke-width="1.8"/>`);
    const left = LEFT + i * 185;
    parts.push(line(String(left), String(HEIGHT - 18), String(left + 14), String(HEIGHT - 18), colour, '', 4));
    parts.push(text(String(left + 20), String(HEIGHT - 14), 'start', name));
  });
  parts.push(text(String(LEFT), '24', 'start', chart.title, 15));
  parts.push(text(String(LEFT), '44', 'start', chart.yLabel, 11));
  parts.push(text(String(WIDTH - RIGHT), String(HEIGHT - BOTTOM + 34), 'end', chart.xLabel, 11));
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif">`;
  return `${head}\n<title>${escaped(chart.title)}</title>\n<style>${STYLE}</style>\n<rect width="${WIDTH}" height="${HEIGHT}" class="page"/>\n${parts.join('\n')}\n</svg>\n`;
}

function line(x1: string, y1: string, x2: string, y2: string, style: string, dashes = '', width = 1): string {
  const dashed = dashes === '' ? '' : ` stroke-dasharray="${dashes}"`;
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${style}" stroke-width="${width}"${dashed}/>`;
}

function text(x: string, y: string, anchor: 'start' | 'middle' | 'end', value: string, size = 12): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}">${escaped(value)}</text>`;
}

function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function tick(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : 0 });
}
