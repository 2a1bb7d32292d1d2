/** Loads as people read them. May be imported by src/gateway only. */

/** 1234.5 as 1,235; 12.345 as 12.35 */
export function loadText(load: number): string {
  return load.toLocaleString('en-US', { maximumFractionDigits: load < 100 ? 2 : 0 });
}
