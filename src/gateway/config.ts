/**
 * The configuration file: found, read, checked as a whole, with defaults put in and paths made absolute.
 * The commented example is config/gateway.yaml; docs/configuration.md explains it. May be imported by src/gateway only.
 */
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { StrictYaml, YamlAliasError } from '../auth/strict-yaml.ts';
import { issueProblems, reported, syntaxProblem } from './config/problems.ts';
import { configSchema } from './config/schema.ts';
import { failure, GatewayError, systemCode } from './errors.ts';
import { readTextFile } from './text-file.ts';

export { type HostPort, parseHostPort, shownUrl } from './config/values.ts';

/** All settings; paths are absolute. `file` is the file they come from. */
export type Config = z.output<ReturnType<typeof configSchema>> & { readonly file: string };

/** Where the file is looked for when none is named; the first is relative to the working directory. */
export const CONFIG_FILES = ['config/gateway.yaml', '/etc/session-gateway/gateway.yaml'] as const;

const FILE_MAX_BYTES = 1024 * 1024;
const PROBLEMS_MAX = 50;

/**
 * Finds, reads and checks the configuration.
 * @param file path of the file, from `-c`; without it the first of CONFIG_FILES that exists
 * @throws GatewayError CONFIG_NOT_FOUND, CONFIG_UNREADABLE, or CONFIG_INVALID with every problem, one a line
 */
export function loadConfig(file?: string, workingDirectory: string = process.cwd()): Config {
  if (file !== undefined) {
    const named = resolve(workingDirectory, file);
    return parseConfig(readConfig(named) ?? notFound([named]), named);
  }
  const tried = CONFIG_FILES.map((candidate) => resolve(workingDirectory, candidate));
  for (const candidate of tried) {
    const text = readConfig(candidate);
    if (text !== undefined) return parseConfig(text, candidate);
  }
  return notFound(tried);
}

function notFound(tried: readonly string[]): never {
  throw failure('CONFIG_NOT_FOUND', { tried });
}

/** The file's text; undefined if there is no such file. */
function readConfig(file: string): string | undefined {
  try {
    return readTextFile(file, FILE_MAX_BYTES);
  } catch (error) {
    const code = error instanceof GatewayError ? systemCode(error.cause) : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/**
 * Checks a configuration file's text.
 * @param file absolute path, for the problems and to make relative paths absolute
 * @throws GatewayError CONFIG_INVALID
 */
export function parseConfig(text: string, file: string): Config {
  const yaml = new StrictYaml(text);
  if (yaml.faults.length > 0) throw invalid(yaml.faults.map((fault) => syntaxProblem(file, fault)));

  const content = contentOf(yaml, file);
  const parsed = configSchema(dirname(file)).safeParse(content);
  if (parsed.success) return { ...parsed.data, file };
  throw invalid(reported({ file, yaml }, issueProblems(content, parsed.error.issues)));
}

function invalid(problems: readonly string[]): Error {
  const more = problems.length - PROBLEMS_MAX;
  return failure('CONFIG_INVALID', {
    problems: more > 0 ? [...problems.slice(0, PROBLEMS_MAX), `… and ${more} more`] : problems,
  });
}

function contentOf(yaml: StrictYaml, file: string): unknown {
  try {
    return yaml.content();
  } catch (error) {
    if (!(error instanceof YamlAliasError)) throw error;
    throw invalid([`${file}: found an alias (*); allowed: YAML without aliases`]);
  }
}
