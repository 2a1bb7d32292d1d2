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
  /** What one position is worth on the x axis. */
  readonly xStep: number;
  /** Most of the y axis; what is higher is cut off. */
  readonly yMax: number;
  readonly yMin?: number;
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
/** Told apart also by who can't tell red from green (Okabe and Ito). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00'];
const GRID_LINES = 5;

export function lineChart(chart: Chart): string {
  const { yMin = 0, yMax, xStep } = chart;
  const length = Math.max(2, ...chart.series.map(({ values }) => values.length));
  const x = (at: number): string => (LEFT + (at / (length - 1)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value: number): string => {
    const part = (Math.min(Math.max(value, yMin), yMax) - yMin) / (yMax - yMin);
    return (HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  };
  const parts: string[] = [];
  for (let i = 0; i <= GRID_LINES; i++) {
    const value = yMin + (i / GRID_LINES) * (yMax - yMin);
    parts.push(line(x(0), y(value), x(length - 1), y(value), '#ddd'));
    parts.push(text(String(LEFT - 8), String(Number(y(value)) + 4), 'end', tick(value)));
    const at = (i / GRID_LINES) * (length - 1);
    parts.push(text(x(at), String(HEIGHT - BOTTOM + 18), 'middle', tick(at * xStep)));
  }
  for (const { at, text: what } of chart.marks ?? []) {
    parts.push(line(x(at), String(TOP), x(at), String(HEIGHT - BOTTOM), '#999', '2 3'));
    parts.push(text(String(Number(x(at)) + 3), String(TOP + 11), 'start', what, 11));
  }
  if (chart.level !== undefined) {
    parts.push(line(x(0), y(chart.level.at), x(length - 1), y(chart.level.at), '#333', '6 4'));
    parts.push(text(x(length - 1), String(Number(y(chart.level.at)) - 5), 'end', chart.level.text, 11));
  }
  chart.series.forEach(({ name, values }, i) => {
    const colour = COLOURS[i % COLOURS.length] as string;
    const points = values.map((value, at) => `${x(at)},${y(value)}`).join(' ');
    parts.push(`<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="1.6"/>`);
    const left = LEFT + i * 185;
    parts.push(`<rect x="${left}" y="${HEIGHT - 20}" width="14" height="4" fill="${colour}"/>`);
    parts.push(text(String(left + 20), String(HEIGHT - 14), 'start', name));
  });
  parts.push(text(String(LEFT), '24', 'start', chart.title, 15));
  parts.push(text(String(LEFT), '44', 'start', chart.yLabel, 11));
  parts.push(text(String(WIDTH - RIGHT), String(HEIGHT - BOTTOM + 34), 'end', chart.xLabel, 11));
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif">`;
  return `${head}\n<title>${escaped(chart.title)}</title>\n<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`;
}

function line(x1: string, y1: string, x2: string, y2: string, stroke: string, dashes = ''): string {
  const dashed = dashes === '' ? '' : ` stroke-dasharray="${dashes}"`;
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${stroke}"${dashed}/>`;
}

function text(x: string, y: string, anchor: 'start' | 'middle' | 'end', value: string, size = 12): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="#222">${escaped(value)}</text>`;
}

function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function tick(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : 0 });
}
