/**
 * Problems of a configuration file, each as one line: `FILE:LINE: path.in.file: found X; allowed: Y`.
 * Imported by ../config.ts alone.
 *
 * A password can stand anywhere in a file that is wrong, so nothing that may hold one is quoted.
 */
import type { z } from 'zod';
import { type YamlPath as Path, type StrictYaml, valueAt, type YamlFault } from '../../auth/strict-yaml.ts';
import { shownUrl } from './values.ts';

/** Longest text that is quoted: more than an IPv6 network, less than a secret. */
const QUOTED_MAX = 48;

export interface Source {
  readonly file: string;
  readonly yaml: StrictYaml;
}

export interface Problem {
  readonly path: Path;
  readonly found: string;
  readonly allowed: string;
}

/** The problems as lines, in the order of the file. */
export function reported({ file, yaml }: Source, problems: readonly Problem[]): string[] {
  return problems
    .map((problem) => ({ ...problem, offset: yaml.offsetOf(problem.path) ?? 0 }))
    .sort((a, b) => a.offset - b.offset)
    .map(({ path, found, allowed, offset }) => {
      const name = path.length === 0 ? '' : `${pathText(path)}: `;
      return `${file}:${yaml.lineAt(offset)}: ${name}found ${found}; allowed: ${allowed}`;
    });
}

export function syntaxProblem(file: string, { line, column, code }: YamlFault): string {
  return `${file}:${line}: found what is not YAML at column ${column} (${code}); allowed: YAML 1.2 without tags, each name once`;
}

/** The problems that the schema found. */
export function issueProblems(content: unknown, issues: readonly z.core.$ZodIssue[]): Problem[] {
  const seen = new Set<string>();
  const problems: Problem[] = [];
  for (const issue of issues) {
    const path = issue.path.filter((part) => typeof part !== 'symbol');
    if (issue.code === 'unrecognized_keys') {
      for (const name of issue.keys) problems.push(unknownName([...path, name], name, issue.message));
      continue;
    }
    // A value that is wrong in two ways is reported once: what is allowed says both.
    if (seen.has(pathText(path))) continue;
    seen.add(pathText(path));
    const standsFor = issue.code === 'custom' ? issue.params?.['default'] : undefined;
    problems.push({ path, found: found(path, valueAt(content, path), standsFor), allowed: issue.message });
  }
  return problems;
}

function unknownName(path: Path, name: string, allowed: string): Problem {
  const near = nearest(name, allowed.split(', '));
  return { path, found: `an unknown name${near === undefined ? '' : ` (did you mean ${near}?)`}`, allowed };
}

/**
 * What stands at a path, in words.
 * @param standsFor what nothing stands for, where it is that which is wrong
 */
export function found(path: Path, value: unknown, standsFor?: unknown): string {
  if (value === undefined)
    return standsFor === undefined ? 'nothing' : `nothing, which stands for ${String(standsFor)}`;
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return String(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value !== 'string') return 'settings';
  return path.join('.') === 'redis.url' ? shownUrl(value) : quoted(value);
}

function quoted(text: string): string {
  return text.length <= QUOTED_MAX && !mayHoldPassword(text)
    ? JSON.stringify(text)
    : `text of ${text.length} characters`;
}

/** user:password@host, however much of a URL is around it. */
function mayHoldPassword(text: string): boolean {
  return /:.*@/s.test(text);
}

function pathText(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += `${text === '' ? '' : '.'}${/^[\w-]{1,48}$/.test(part) ? part : `(${quoted(part)})`}`;
  }
  return text;
}

/** The name that is fewest edits away, if that is at most two and at most half of it. */
function nearest(name: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = 3;
  for (const candidate of names) {
    const edits = distance(name.slice(0, QUOTED_MAX), candidate);
    if (edits < least && edits * 2 <= candidate.length) {
      best = candidate;
      least = edits;
    }
  }
  return best;
}

/** Levenshtein's distance, upper and lower case being the same. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, from] of [...a.toLowerCase()].entries()) {
    const next = [i + 1];
    for (const [j, to] of [...b.toLowerCase()].entries()) {
      const swap = (row[j] ?? 0) + (from === to ? 0 : 1);
      next.push(Math.min(swap, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
