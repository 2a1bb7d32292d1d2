/**
 * The key file's text: YAML, taken strictly (docs/configuration.md, "Keys"). May be imported by every floor above.
 *
 * A secret can stand anywhere in a file that is wrong: in the place of a name, or as a key where a space is missing.
 * So no problem quotes more of the file than a short word, and the YAML library's own messages, which do, are not passed on.
 */
import { hexToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import { Limit } from '../abi.ts';
import { KeyFileError } from './errors.ts';
import { KEY_ID_MAX, KEY_NAME, KEY_NAME_MAX, Key, Keyring } from './keyring.ts';
import { parseRfc3339 } from './rfc3339.ts';
import { type YamlPath as Path, StrictYaml, valueAt, YamlAliasError, type YamlFault } from './strict-yaml.ts';
import { SECRET_SIZE, SUITES } from './suites.ts';

const SECRET_DIGITS = SECRET_SIZE * 2;
/** What a problem may quote: a short word without a run of digits that could be a part of a secret. */
const QUOTED_MAX = 40;
const SECRET_LIKE = /[0-9A-Fa-f]{12}/;
const PROBLEMS_MAX = 32;

const time = z.string().refine((text) => (parseRfc3339(text) ?? -1) >= 0);

const keySchema = z.strictObject({
  id: z.int().min(1).max(KEY_ID_MAX),
  name: z.string().max(KEY_NAME_MAX).regex(KEY_NAME).optional(),
  suite: z.enum(SUITES).default('hmac-sha256'),
  secret: z.string().regex(new RegExp(`^[0-9A-Fa-f]{${SECRET_DIGITS}}$`)),
  encrypt: z.boolean().default(false),
  notBefore: time.nullable().default(null),
  notAfter: time.nullable().default(null),
});

const fileSchema = z.strictObject({ keys: z.array(keySchema).min(1).max(Limit.KEYS) });

type KeyEntry = z.infer<typeof keySchema>;
/** File, line and path for a problem; the line of `name` where that is one too many at the path. */
type Place = (path: Path, name?: string) => string;

const ALLOWED_TIME = 'null, or an RFC 3339 time with its zone, from 1970 on, as 2026-01-31T08:00:00Z';

/** By the last name in a path; what is allowed in each place. */
const ALLOWED: Readonly<Record<string, string>> = {
  keys: `a list of 1 to ${Limit.KEYS} keys`,
  id: `an integer from 1 to ${KEY_ID_MAX}`,
  name: `1 to ${KEY_NAME_MAX} letters, digits, dots, underscores and hyphens, the first a letter or digit`,
  suite: SUITES.join(' or '),
  secret: `${SECRET_DIGITS} hexadecimal digits, in quotes`,
  encrypt: 'true or false',
  notBefore: ALLOWED_TIME,
  notAfter: ALLOWED_TIME,
};

/**
 * The keys in a key file's text. A key without a name is called `key-<id>`.
 * @param source the file's name, for the problems
 * @throws KeyFileError KEY_FILE_SYNTAX or KEY_FILE_CONTENT, with every problem found (32 at most) and no secret
 */
export function parseKeyFile(text: string, source: string): Keyring {
  const yaml = new StrictYaml(text);
  const faults = yaml.faults.map((fault) => syntaxProblem(source, fault));
  if (faults.length > 0) throw refusal('KEY_FILE_SYNTAX', faults);

  const content = contentOf(yaml, source);
  const parsed = fileSchema.safeParse(content);
  const place: Place = (path, name) => {
    const at = yaml.offsetOf(name === undefined ? path : [...path, name]);
    return `${source}${at === undefined ? '' : `:${yaml.lineAt(at)}`}: ${pathText(path)}`;
  };
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => issueProblems(issue, content, place));
    throw refusal('KEY_FILE_CONTENT', problems);
  }
  const { keys } = parsed.data;
  const problems = [...orderProblems(keys, place), ...duplicateProblems(keys, place)];
  if (problems.length > 0) throw refusal('KEY_FILE_CONTENT', problems);
  return new Keyring(keys.map(keyFrom));
}

function keyFrom(entry: KeyEntry): Key {
  const secret = hexToBytes(entry.secret);
  const key = new Key(
    {
      id: entry.id,
      name: nameOf(entry),
      suite: entry.suite,
      encrypt: entry.encrypt,
      notBeforeMs: msOf(entry.notBefore),
      notAfterMs: msOf(entry.notAfter),
    },
    secret,
  );
  secret.fill(0);
  return key;
}

function nameOf(entry: KeyEntry): string {
  return entry.name ?? `key-${entry.id}`;
}

function msOf(time: string | null): number | null {
  return time === null ? null : (parseRfc3339(time) ?? null);
}

function refusal(code: 'KEY_FILE_SYNTAX' | 'KEY_FILE_CONTENT', problems: readonly string[]): KeyFileError {
  const more = problems.length - PROBLEMS_MAX;
  return new KeyFileError(code, more > 0 ? [...problems.slice(0, PROBLEMS_MAX), `… and ${more} more`] : problems);
}

function syntaxProblem(source: string, { line, column, code }: YamlFault): string {
  return `${source}:${line}:${column}: found what is not YAML (${code}), allowed: YAML 1.2 without tags, each name once`;
}

function contentOf(yaml: StrictYaml, source: string): unknown {
  try {
    return yaml.content();
  } catch (error) {
    if (!(error instanceof YamlAliasError)) throw error;
    throw refusal('KEY_FILE_SYNTAX', [`${source}: found an alias (*), allowed: YAML without aliases`]);
  }
}

function pathText(path: Path): string {
  if (path.length === 0) return 'file';
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}

type Issue = z.core.$ZodIssue;

function issueProblems(issue: Issue, content: unknown, place: Place): string[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const names = Object.keys(path.length === 0 ? fileSchema.shape : keySchema.shape).join(', ');
    return issue.keys.map((name) => `${place(path, name)}: found unknown name ${quoted(name)}, allowed: ${names}`);
  }
  const last = path.at(-1);
  const allowed = typeof last === 'string' ? ALLOWED[last] : undefined;
  const found = last === 'secret' ? secretFound(valueAt(content, path)) : valueFound(valueAt(content, path));
  return [
    `${place(path)}: found ${found}, allowed: ${allowed ?? (last === undefined ? 'the name keys and its list' : 'names with values')}`,
  ];
}

function secretFound(value: unknown): string {
  if (typeof value === 'number') return 'a number: digits without quotes are one';
  if (typeof value !== 'string') return valueFound(value);
  const others = value.replaceAll(/[0-9A-Fa-f]/g, '').length;
  return `${value.length} characters${others > 0 ? `, ${others} of them not hexadecimal digits` : ''}`;
}

function valueFound(value: unknown): string {
  // What YAML takes for null is nearly always a place left empty.
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number')
    return Number.isSafeInteger(value) || Math.abs(value) < 1e6 ? String(value) : 'a number';
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return 'names with values';
}

function quoted(word: string): string {
  return word.length <= QUOTED_MAX && !SECRET_LIKE.test(word) ? JSON.stringify(word) : `${word.length} characters`;
}

function* orderProblems(keys: readonly KeyEntry[], place: Place): Iterable<string> {
  for (const [i, { notBefore, notAfter }] of keys.entries()) {
    const fromMs = msOf(notBefore);
    const toMs = msOf(notAfter);
    if (fromMs !== null && toMs !== null && fromMs > toMs) {
      yield `${place(['keys', i, 'notBefore'])}: found ${notBefore}, allowed: at most notAfter, which is ${notAfter}`;
    }
  }
}

function* duplicateProblems(keys: readonly KeyEntry[], place: Place): Iterable<string> {
  const ids = new Map<number, number>();
  const names = new Map<string, number>();
  for (const [i, key] of keys.entries()) {
    const sameId = ids.get(key.id);
    if (sameId !== undefined) {
      yield `${place(['keys', i, 'id'])}: found ${key.id}, allowed: an id that keys[${sameId}] doesn't have`;
      continue;
    }
    ids.set(key.id, i);
    const name = nameOf(key);
    const sameName = names.get(name);
    if (sameName === undefined) names.set(name, i);
    else
      yield `${place(['keys', i, 'name'])}: found ${quoted(name)}, allowed: a name that keys[${sameName}] doesn't have`;
  }
}
