/**
 * Lays out the folder that is published: what the sources are compiled to, the BPF objects, and what people read. The npm package is
 * this folder, and the Debian package has it below /usr/lib. Imported by the build scripts of both.
 *
 *     dist/       src/**.ts compiled, with declarations; every other file of src as it is, in the same folders
 *     build/      the compiled BPF objects: no compiler is needed where they are used
 *     bin/  config/  docs/  integrations/  packaging/systemd/  README.md …    as in the checkout, without TypeScript
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as packageFiles from '../src/gateway/package-files.ts';

export const ROOT = packageFiles.packageFile('.');
/** All that the code loads. */
const OBJECTS = Object.values(packageFiles).filter(
  (file): file is string => typeof file === 'string' && file.endsWith('.bpf.o'),
);
/** Whole folders and single files, of which everything that git has and that isn't TypeScript is published. */
const AS_THEY_ARE = [
  ...['bin', 'config', 'docs', 'integrations', 'packaging/systemd'],
  ...['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md'],
];
const EXECUTABLE = 0o755;
const READABLE = 0o644;

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

export function readManifest(): Manifest {
  return JSON.parse(fs.readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
}

/**
 * @param folder is made anew: what is in it goes
 * @throws Error when the sources don't compile, or the BPF objects aren't built (scripts/ready builds them)
 */
export function makePackageFolder(folder: string): void {
  fs.rmSync(folder, { recursive: true, force: true });
  compile(join(folder, 'dist'));
  for (const file of trackedFiles('src')) if (!file.endsWith('.ts')) copy(file, join(folder, 'dist', file.slice(4)));
  for (const object of OBJECTS) copy(object.slice(ROOT.length), join(folder, object.slice(ROOT.length)));
  for (const file of trackedFiles(...AS_THEY_ARE)) if (!file.endsWith('.ts')) copy(file, join(folder, file));
  fs.writeFileSync(join(folder, 'package.json'), `${JSON.stringify(publishedManifest(readManifest()), null, 2)}\n`);
}

function compile(folder: string): void {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const config = fileURLToPath(new URL('tsconfig.json', import.meta.url));
  execFileSync(process.execPath, [compiler, '-p', config, '--outDir', folder], { stdio: ['ignore', 2, 2] });
}

/** Relative to the root. What lies about in a working folder, a key file perhaps, isn't published: only what git has. */
function trackedFiles(...paths: string[]): string[] {
  const list = execFileSync('git', ['ls-files', '-z', '--', ...paths], { cwd: ROOT, encoding: 'utf8' });
  return list.split('\0').filter((file) => file !== '' && fs.existsSync(join(ROOT, file)));
}

function copy(file: string, to: string): void {
  const from = join(ROOT, file);
  fs.mkdirSync(dirname(to), { recursive: true });
  fs.copyFileSync(from, to);
  fs.chmodSync(to, fs.statSync(from).mode & 0o111 ? EXECUTABLE : READABLE);
}

/** What belongs to development goes, and each entry is what its source is compiled to, with its declarations. */
export function publishedManifest({ scripts: _, devDependencies: __, exports, ...rest }: Manifest): object {
  const compiled = Object.entries(exports).map(([entry, source]) => {
    const [, path] = /^\.\/src\/(.+)\.ts$/.exec(source) ?? [];
    if (path === undefined) throw new Error(`package.json, exports ${entry}: found ${source}, allowed: ./src/….ts`);
    return [entry, { types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` }];
  });
  return { ...rest, exports: { ...Object.fromEntries(compiled), './package.json': './package.json' } };
}
