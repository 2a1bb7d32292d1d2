/**
 * Lines of text with colours that fit a terminal's width. Imported by src/gateway/top.
 */

export type Colour = 'plain' | 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan' | 'reverse';

/** Select Graphic Rendition (ECMA-48, 8.3.117). */
const CODES: Readonly<Record<Colour, number>> = {
  plain: 0,
  bold: 1,
  dim: 2,
  reverse: 7,
  red: 31,
  green: 32,
  yellow: 33,
  cyan: 36,
};

export type Part = string | readonly [Colour, string];
export type Line = readonly Part[];

/** East Asian wide characters and pictures take two columns, combining ones none. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/u;
const COMBINING = /\p{Mark}/u;

export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}

/** As much of the text as fits; where it is cut, it says so. */
export function cut(text: string, width: number): string {
  if (columnsOf(text) <= width) return text;
  let shown = '';
  let columns = 0;
  for (const character of text) {
    columns += columnsOf(character);
    if (columns > width - 1) break;
    shown += character;
  }
  return width < 1 ? '' : `${shown}…`;
}

export function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - columnsOf(text)));
}

/** Text of a line, at most `width` columns wide. */
export function lineText(line: Line, width: number, hasColours: boolean): string {
  let left = width;
  let text = '';
  for (const part of line) {
    const [colour, whole] = typeof part === 'string' ? (['plain', part] as const) : part;
    const shown = cut(whole, left);
    left -= columnsOf(shown);
    text += colour === 'plain' || !hasColours || shown === '' ? shown : `\u001b[${CODES[colour]}m${shown}\u001b[0m`;
    if (left <= 0) break;
  }
  return text;
}
