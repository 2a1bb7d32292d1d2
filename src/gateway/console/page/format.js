/** Figures for people: short, and of a width that doesn't jump. Pure. Imported by every part of the page. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

/** What isn't known. */
export const UNKNOWN = '–';

/** 1234567 as 1,234,567 */
export function number(value) {
  return value === null || value === undefined ? UNKNOWN : whole.format(value);
}

/** 950, 12.3k, 4.5M */
export function compact(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value >= 999_500) return `${short.format(value / 1e6)}M`;
  if (value >= 9_995) return `${short.format(value / 1e3)}k`;
  return value > 0 && value < 10 ? short.format(value) : whole.format(value);
}

/** 0.123 as 12.3 %; a part that isn't quite all is never shown as all, nor one that isn't nothing as nothing. */
export function percent(part) {
  if (part === null || part === undefined) return UNKNOWN;
  if (part > 0 && part < 0.001) return '< 0.1 %';
  if (part < 1 && part > 0.999) return '> 99.9 %';
  return `${short.format(100 * part)} %`;
}

/** Hundredths of a percent, as a backend's `shed` is. */
export function hundredths(value) {
  return `${new Intl.NumberFormat('en-US', { maximumFractionDigits: 2 }).format(value / 100)} %`;
}

/** @type {[number, string][]} */
const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
];

/** The two largest units: 3 d 4 h, 1 min 5 s, 1.5 s, 20 ms. */
export function duration(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const parts = [];
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

/** As `duration`, in whole seconds and its largest unit alone: for what is counted while one looks. */
export function seconds(ms) {
  return ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1_000))} s` : duration(Math.floor(ms / 1_000) * 1_000);
}

/** 640 ns, 1.2 µs, 3 ms */
export function nanoseconds(ns) {
  if (ns === null || ns === undefined) return UNKNOWN;
  if (ns < 1_000) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${short.format(ns / 1e3)} µs`;
  return `${short.format(ns / 1e6)} ms`;
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

export function timeOfDay(unixMs) {
  return clock.format(unixMs);
}

export function date(unixMs) {
  return day.format(unixMs);
}

/** 1 user, 2 users */
export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}
