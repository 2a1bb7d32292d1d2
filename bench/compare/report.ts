/**
 * The comparison for people: Markdown tables of medians, and how far the turns lie apart. Pure. May be imported by bench only.
 */
import { type Column, figures, median, type Row, type Section, spread } from './measure.ts';

/** Medians with the spread behind them where there are several turns: half of the way from the least to the most. */
export function sectionText(section: Section): string {
  const lines = [`## ${section.title}`, '', section.about, ''];
  const [first] = section.columns;
  lines.push(`| | ${section.columns.map(({ title }) => title).join(' | ')} | ± |`);
  lines.push(`|---|${section.columns.map(() => '---:|').join('')}---:|`);
  for (const row of section.rows) {
    const cells = section.columns.map((column) => cell(row, column));
    const all = first === undefined ? [] : figures(row, first.id);
    const apart = all.length < 2 ? '' : `${(100 * spread(all)).toFixed(0)} %`;
    lines.push(`| ${[row.name, ...cells, apart].join(' | ')} |`);
  }
  if (section.leftOut.length > 0) {
    lines.push('', 'Left out:', '');
    for (const { name, why } of section.leftOut) lines.push(`- ${name}: ${why}`);
  }
  return lines.join('\n');
}

function cell(row: Row, { id, digits }: Column): string {
  const all = figures(row, id);
  if (all.length === 0) return '';
  return median(all).toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** The same for programs: every turn, and the medians. */
export function sectionData(section: Section): object {
  const { id, title, about, columns, rows, leftOut } = section;
  return {
    id,
    title,
    about,
    columns,
    rows: rows.map((row) => {
      const ids = [...new Set(row.turns.flatMap((turn) => Object.keys(turn)))];
      const medians = Object.fromEntries(ids.map((column) => [column, median(figures(row, column))]));
      return { name: row.name, medians, turns: row.turns };
    }),
    leftOut,
  };
}
