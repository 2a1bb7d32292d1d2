/**
 * The console's files: the page's own, and the three libraries that it is built on, as npm installed them. Each is read once,
 * when it is first asked for, and nothing else can be asked for. Imported by routes.ts and tests.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('./page/', import.meta.url));
const require = createRequire(import.meta.url);

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export interface ConsoleFile {
  readonly content: Buffer;
  readonly contentType: string;
  /** Strong entity tag (RFC 9110, section 8.8.3). */
  readonly etag: string;
}

/** By the name that it is served under; where it is on disk. */
export type ConsoleFiles = ReadonlyMap<string, () => ConsoleFile>;

/** Found wherever npm has put them: also beside this package, or above it. */
const LIBRARIES: Readonly<Record<string, () => string>> = {
  'lib/preact.js': () => require.resolve('preact'),
  'lib/preact-hooks.js': () => require.resolve('preact/hooks'),
  // Of these two the entry for Node.js is no module; the one for browsers lies beside it.
  'lib/htm.js': () => join(dirname(require.resolve('htm')), 'htm.module.js'),
  'lib/uplot.js': () => join(dirname(require.resolve('uplot')), 'uPlot.esm.js'),
  'lib/uplot.css': () => join(dirname(require.resolve('uplot')), 'uPlot.min.css'),
};

export function consoleFiles(): ConsoleFiles {
  const own = readdirSync(PAGE)
    .filter((name) => extname(name) in TYPES)
    .map((name) => [name, () => join(PAGE, name)] as const);
  return new Map([...own, ...Object.entries(LIBRARIES)].map(([name, find]) => [name, once(() => load(name, find()))]));
}

function load(name: string, path: string): ConsoleFile {
  const content = readFileSync(path);
  const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
  return { content, contentType: TYPES[extname(name)] ?? 'application/octet-stream', etag };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
