/**
 * Contenders take turns, so that what else the machine does falls on all alike; figures are medians over the turns. Pure but for the
 * contenders. May be imported by bench only.
 */

/** What one turn gave: figures by column. */
export type Turn = Readonly<Record<string, number>>;

export interface Contender {
  readonly name: string;
  readonly measure: () => Promise<Turn>;
}

export interface Row {
  readonly name: string;
  readonly turns: Turn[];
}

export interface LeftOut {
  readonly name: string;
  readonly why: string;
}

export interface Column {
  /** Name of a figure in `Turn`. */
  readonly id: string;
  readonly title: string;
  /** Digits after the point. */
  readonly digits: number;
}

export interface Section {
  readonly id: string;
  readonly title: string;
  /** What is measured, and how. */
  readonly about: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  readonly leftOut: readonly LeftOut[];
}

/** A turn that fails has no figures, and is told of; a contender without any turn is left out. */
export async function inTurns(
  turns: number,
  contenders: readonly Contender[],
  progress: (text: string) => void,
): Promise<{ rows: Row[]; leftOut: LeftOut[] }> {
  const rows = contenders.map(({ name }): Row => ({ name, turns: [] }));
  const leftOut: LeftOut[] = [];
  for (let turn = 1; turn <= turns; turn++) {
    progress(`turn ${turn} of ${turns}`);
    for (const [i, { name, measure }] of contenders.entries()) {
      try {
        rows[i]?.turns.push(await measure());
      } catch (error) {
        rows[i]?.turns.push({});
        const why = error instanceof Error ? error.message : String(error);
        leftOut.push({ name: `${name}, turn ${turn}`, why });
      }
    }
  }
  return { rows: rows.filter((row) => row.turns.some((found) => Object.keys(found).length > 0)), leftOut };
}

/** Of an even number the mean of the two in the middle; NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2;
}

export function figures(row: Row, column: string): number[] {
  return row.turns.flatMap((turn) => turn[column] ?? []).filter(Number.isFinite);
}

/** Half of the way from the least to the most, as a part of the median. */
export function spread(numbers: readonly number[]): number {
  return (Math.max(...numbers) - Math.min(...numbers)) / 2 / median(numbers);
}

/** A figure of each row, derived from its turn and from the same turn of another row. */
export function withDerived(rows: readonly Row[], baseName: string, derive: (turn: Turn, base: Turn) => Turn): Row[] {
  const base = rows.find(({ name }) => name === baseName);
  return rows.map((row) => ({
    name: row.name,
    turns: row.turns.map((turn, i) => {
      const other = base?.turns[i];
      return other === undefined ? turn : { ...turn, ...derive(turn, other) };
    }),
  }));
}
