/**
 * What the charts are drawn with: lines, text, and colours for light and dark pages. Attributes are those of a light page; where the
 * reader prefers dark, a style takes their place. May be imported by bench/svg only.
 */

export interface Colour {
  readonly name: string;
  readonly light: string;
  readonly dark: string;
}

/** Told apart also by who can't tell red from green (Okabe and Ito). */
const COLOURS: readonly Colour[] = [
  { name: 'blue', light: '#0072b2', dark: '#58a6e8' },
  { name: 'vermilion', light: '#d55e00', dark: '#f08a3c' },
  { name: 'green', light: '#009e73', dark: '#2fc795' },
  { name: 'purple', light: '#cc79a7', dark: '#e3a3c7' },
  { name: 'sky', light: '#56b4e9', dark: '#a5d8f6' },
  { name: 'orange', light: '#e69f00', dark: '#f5c04a' },
];
const PAPER = { light: '#fff', dark: '#0d1117' };
const INK = { light: '#222', dark: '#e6edf3' };
const LINES = {
  grid: { light: '#ddd', dark: '#30363d' },
  range: { light: '#222', dark: '#e6edf3' },
} as const;

export function colourOf(series: number): Colour {
  return COLOURS[series % COLOURS.length] as Colour;
}

/** A whole picture. */
export function card(width: number, height: number, title: string, parts: readonly string[]): string {
  const dark = [
    `.paper{fill:${PAPER.dark}}`,
    `text{fill:${INK.dark}}`,
    ...Object.entries(LINES).map(([name, colours]) => `.${name}{stroke:${colours.dark}}`),
    ...COLOURS.map(({ name, dark: shade }) => `.fill-${name}{fill:${shade}}`),
  ];
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif">`,
    `<title>${escaped(title)}</title>`,
    `<style>@media (prefers-color-scheme: dark) { ${dark.join(' ')} }</style>`,
    `<rect width="${width}" height="${height}" class="paper" fill="${PAPER.light}"/>`,
    ...parts,
    '</svg>',
  ];
  return `${lines.join('\n')}\n`;
}

export function line(x1: string, y1: string, x2: string, y2: string, kind: keyof typeof LINES): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${kind}" stroke="${LINES[kind].light}"/>`;
}

export function text(x: string, y: string, anchor: 'start' | 'middle' | 'end', value: string, size = 12): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="${INK.light}">${escaped(value)}</text>`;
}

function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

export function tick(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : 0 });
}
