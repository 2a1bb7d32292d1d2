/** A row of values as characters of different heights. Imported by src/gateway/top. */

export const BLOCKS = '▁▂▃▄▅▆▇█';
/** Where the terminal is not known to show the blocks. */
export const ASCII = '._-=+*#@';

/**
 * The newest values, at the right end of `width` characters, over the highest of them. Nothing is shown where there is no value, or 0.
 * @param ramp characters from low to high
 */
export function sparkline(values: readonly (number | null)[], width: number, ramp: string): string {
  const shown = width > 0 ? values.slice(-width) : [];
  const most = shown.reduce<number>((highest, value) => Math.max(highest, value ?? 0), 0);
  const levels = [...ramp];
  const characters = shown.map((value) => {
    if (value === null || value <= 0) return ' ';
    return levels[Math.min(levels.length - 1, Math.ceil((value / most) * levels.length) - 1)] ?? ' ';
  });
  return characters.join('').padStart(Math.max(0, width));
}
