/**
 * What `gateway doctor` says of one thing that it looked at. May be imported by src/gateway/doctor and its command.
 */
import { GatewayError, reasonOf } from '../errors.ts';
import { catalogue, type FindingCode, type Level } from './catalogue.ts';

export type { FindingCode, Level } from './catalogue.ts';

export interface Finding {
  /** What was looked at. */
  readonly name: string;
  readonly level: Level | 'ok';
  /** Null where all is well; so are the last two. */
  readonly code: FindingCode | null;
  readonly found: string;
  /** What follows from it. */
  readonly why: string | null;
  /** What to do. */
  readonly remedy: string | null;
}

export function ok(name: string, found: string): Finding {
  return { name, level: 'ok', code: null, found, why: null, remedy: null };
}

/** @param words for what is in braces in the catalogue */
export function finding(
  code: FindingCode,
  name: string,
  found: string,
  words: Readonly<Record<string, string | number>> = {},
): Finding {
  const { level, why, remedy } = catalogue[code];
  const filled = (text: string): string => text.replaceAll(/\{(\w+)\}/g, (_, word) => String(words[word] ?? word));
  return { name, level, code, found, why: filled(why), remedy: filled(remedy) };
}

/** The same, of something that is over. */
export function pastFinding(...of: Parameters<typeof finding>): Finding {
  return { ...finding(...of), level: 'note' };
}

/** What `look` finds; where it throws, that it could not be looked at. @param advice for an error that has none of its own */
export function looked(name: string, advice: string, look: () => Finding | readonly Finding[]): Finding[] {
  try {
    return [look()].flat();
  } catch (error) {
    const words = { advice: error instanceof GatewayError ? 'see docs/errors.md' : advice };
    return [finding('look-failed', name, reasonOf(error), words)];
  }
}
