/**
 * What people write for lengths of time, percentages and addresses, read exactly. May be imported by src/gateway/commands only.
 */
import { InvalidArgumentError } from 'commander';
import type { HostPort } from '../config.ts';
import { failure } from '../errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
/** 100 years, as the function library has it. */
const DURATION_MAX_MS = 3_155_760_000_000;

/**
 * A length of time: 90s, 15m, 1h, 1h30m, 7d.
 * @returns ms
 * @throws InvalidArgumentError
 */
export function durationMs(text: string): number {
  const isWellFormed = text.length <= 40 && /^(?:\d{1,12}(?:ms|s|min|m|h|d))+$/.test(text);
  const parts = isWellFormed ? text.matchAll(/(\d+)([a-z]+)/g) : [];
  let total = 0;
  for (const [, count, unit = ''] of parts) total += Number(count) * (UNITS[unit] ?? 0);
  if (total < 1 || total > DURATION_MAX_MS) {
    throw new InvalidArgumentError('Allowed: a length of time up to 100 years, as 90s, 15m, 1h, 1h30m or 7d.');
  }
  return total;
}

/**
 * A percentage with at most two decimals: 30, 12.5, 0.25, with or without a % at its end.
 * @returns hundredths of a percent, 0 to 10000
 * @throws InvalidArgumentError
 */
export function hundredths(text: string): number {
  const [, whole, part = ''] = /^(\d{1,3})(?:\.(\d{1,2}))?%?$/.exec(text) ?? [];
  const value = Number(whole) * 100 + Number(part.padEnd(2, '0'));
  if (whole === undefined || value > 10_000) {
    throw new InvalidArgumentError('Allowed: a percentage from 0 to 100 with at most two decimals, as 30 or 12.25.');
  }
  return value;
}

/**
 * An address as host:port.
 * @param option that it was given with
 * @param help command whose help says more
 * @throws GatewayError USAGE_INVALID
 */
export async function hostPort(option: string, text: string, help: string): Promise<HostPort> {
  const { parseHostPort } = await import('../config.ts');
  const address = parseHostPort(text);
  if (address !== undefined) return address;
  const problem = `${option}: found ${JSON.stringify(text.slice(0, 100))}; allowed: host:port, as 192.0.2.1:6464 or [2001:db8::1]:6464`;
  throw failure('USAGE_INVALID', { problem, help });
}
