/**
 * Figures and tables for people. May be imported by src/gateway/commands only.
 */

export const NO_BACKENDS = 'there are no backends: add one with "gateway backend set"';

/** 1234567 as 1,234,567 */
export function number(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

/** The two largest units of a time: 1 d 3 h, 4 min 5 s, 1.5 s, 20 ms. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const parts: string[] = [];
  let rest = ms;
  for (const [size, unit] of UNITS) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
    rest -= count * size;
  }
  return parts.join(' ');
}

/** Columns, each as wide as its widest cell; columns of numbers are aligned to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cellText(cell).length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => {
          const width = widths[i] ?? 0;
          return typeof cell === 'number' ? cellText(cell).padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** As wide as the help of options is where the terminal's width isn't known. */
const COLUMNS = 80;

/** Text of words in lines of at most `columns`. */
export function wrapped(text: string, columns = COLUMNS): string {
  return text
    .split('\n')
    .map((paragraph) => {
      const lines = [''];
      for (const word of paragraph.split(' ')) {
        const line = lines.at(-1) ?? '';
        if (line === '') lines[lines.length - 1] = word;
        else if (line.length + 1 + word.length <= columns) lines[lines.length - 1] = `${line} ${word}`;
        else lines.push(word);
      }
      return lines.join('\n');
    })
    .join('\n');
}

/** Least width that a name is shortened to. */
const NAME_MIN = 12;
/** 1,234.5, 12.5 %, or a dash where it isn't known. */
const FIGURE = /^(?:[\d,]+(?:\.\d+)?(?: %)?|-)$/;

/**
 * A table with headings, its columns of figures aligned to the right; names stand in the first column.
 * @param columns width of the terminal, so that long names are shortened to fit; undefined = all is shown
 */
export function listing(headings: readonly string[], rows: readonly (readonly string[])[], columns?: number): string {
  const shown = [headings, ...shortened(headings, rows, columns)];
  const widths = headings.map((_, i) => Math.max(...shown.map((row) => (row[i] ?? '').length)));
  const areFigures = headings.map((_, i) => rows.every((row) => FIGURE.test(row[i] ?? '')));
  return shown
    .map((row) => {
      const cells = row.map((cell, i) => (areFigures[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)));
      return cells.join('  ').trimEnd();
    })
    .join('\n');
}

function shortened(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  columns = Number.POSITIVE_INFINITY,
): string[][] {
  const others = headings.slice(1).map((heading, i) => {
    return 2 + Math.max(heading.length, ...rows.map((row) => (row[i + 1] ?? '').length));
  });
  const room = Math.max(NAME_MIN, columns - others.reduce((sum, width) => sum + width, 0));
  return rows.map(([name = '', ...cells]) => [middleCut(name, room), ...cells]);
}

/** Names differ in their ends as often as in their beginnings. */
function middleCut(text: string, most: number): string {
  const characters = [...text];
  if (characters.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  return `${characters.slice(0, most - 1 - end).join('')}…${characters.slice(characters.length - end).join('')}`;
}

function cellText(cell: string | number): string {
  return typeof cell === 'number' ? number(cell) : cell;
}

/** A name from elsewhere, safe to print: control characters would be obeyed by a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  });
}
