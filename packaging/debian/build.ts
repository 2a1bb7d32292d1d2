/**
 * Builds the Debian package, build/debian/session-gateway_VERSION_ARCHITECTURE.deb:
 *
 *     npm run build:deb [-- --out FOLDER --level 1…19]
 *
 * The binary package is made as it is by dpkg-deb, which every Debian has: this isn't a package of Debian's archive, and a source package
 * would say nothing that package.json doesn't. Below /usr/lib/session-gateway is what npm would have made of the npm package: that
 * package's folder, and the packages that it runs with, as locked and installed here.
 *
 * Node.js comes along (runtime/node, the program as Node.js publishes it). Debian 12 has 18 and Debian 13 has 20, both older than what the
 * gateway needs, and a dependency on somebody's other archive isn't one that a package should have.
 *
 * --level is zstd's: 1 for tests. Every dpkg that comes with a new enough kernel reads zstd, except where a distribution has built it without.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { programOptions } from '../../scripts/program-options.ts';
import { commandLine } from '../../src/gateway/command-line.ts';
import { makePackageFolder, ROOT, readManifest } from '../package-folder.ts';
import { sectionOf } from '../release/changelog.ts';
import { changelog, control, debianVersion } from './control.ts';
import { manPage } from './man-page.ts';

const options = programOptions('npm run build:deb --', 'Builds the Debian package.', {
  out: { type: 'string', default: join(ROOT, 'build/debian'), value: 'FOLDER', about: 'where to' },
  level: { type: 'string', default: '15', value: 'N', about: 'of compression by zstd, 1 to 19' },
  version: { type: 'string', value: 'VERSION', about: 'in place of that of package.json, for tests of upgrades' },
});

const HERE = join(ROOT, 'packaging/debian');
const LIB = 'usr/lib/session-gateway';
const DOC = 'usr/share/doc/session-gateway';
const CONFFILES = ['etc/session-gateway/gateway.yaml', 'etc/default/session-gateway-spoe'];
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
/** What the C library's packages and libbpf1 bring: the Node.js that comes along may need nothing else. */
const LIBRARIES = /^(libdl|libstdc\+\+|libm|libgcc_s|libpthread|libc|ld-linux-.*)\.so\.\d+$/;
/** Shells that "gateway completion" knows, where it does, and where each looks. */
const COMPLETIONS = {
  bash: 'usr/share/bash-completion/completions/gateway',
  zsh: 'usr/share/zsh/vendor-completions/_gateway',
  fish: 'usr/share/fish/vendor_completions.d/gateway.fish',
};

/**
 * Of a package: what its authors test, show, compile with and set their tools by, and what other C libraries than Debian's load. Packages
 * inside of packages have entries of their own in the lock file.
 */
const NOT_FOR_RUNNING =
  /^\/(tests?|spec|integration|benchmarks?|examples?|docs?|vendor|musl_[a-z0-9]+)$|\/node_modules$|\/\.[^/]+$|\.(map|ts|cts|mts|c|cc|cpp|h|hh|hpp|html|sh)$/;

const manifest = readManifest();
const version = options.version ?? manifest.version;
const architecture = ARCHITECTURES[process.arch];
if (architecture === undefined)
  throw new Error(`found ${process.arch}, allowed: ${Object.keys(ARCHITECTURES).join(', ')}`);
const out = options.out;
const root = join(out, 'root');
const built = new Date(Number(output('git', 'log', '-1', '--format=%ct')) * 1000);

build();

function build(): void {
  makePackageFolder(join(root, LIB));
  copyRuntime();
  copyNodeModules();
  install(join(HERE, '../systemd/session-gateway.service'), 'usr/lib/systemd/system/session-gateway.service');
  install(join(HERE, '../systemd/session-gateway-spoe.service'), 'usr/lib/systemd/system/session-gateway-spoe.service');
  install(join(ROOT, 'config/gateway.yaml'), 'etc/session-gateway/gateway.yaml', 0o640);
  install(join(HERE, 'session-gateway-spoe.default'), 'etc/default/session-gateway-spoe');
  fs.chmodSync(join(root, 'etc/session-gateway'), 0o750);
  fs.mkdirSync(join(root, 'usr/bin'), { recursive: true });
  fs.symlinkSync(`../lib/session-gateway/bin/gateway`, join(root, 'usr/bin/gateway'));
  writeDocuments();
  writeCompletions();
  writeControl();
  const name = `session-gateway_${debianVersion(version)}_${architecture}.deb`;
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zzstd', `-z${options.level}`, '--build', root, join(out, name)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    // Two builds of one commit are the same bytes.
    env: { ...process.env, SOURCE_DATE_EPOCH: String(built.getTime() / 1000) },
  });
  fs.rmSync(root, { recursive: true });
  console.log(join(out, name));
}

function output(command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: ROOT, encoding: 'utf8' }).trim();
}

function install(from: string, to: string, mode = 0o644): void {
  const path = join(root, to);
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.copyFileSync(from, path);
  fs.chmodSync(path, mode);
}

function write(to: string, bytes: string | Uint8Array, mode = 0o644): void {
  const path = join(root, to);
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.writeFileSync(path, bytes);
  fs.chmodSync(path, mode);
}

/** The Node.js that runs this, if it is whole in itself. A distribution's own needs libraries of that distribution. */
function copyRuntime(): void {
  const needed = [...output('readelf', '--dynamic', process.execPath).matchAll(/\(NEEDED\).*\[(.*)\]/g)];
  const others = needed.map(([, library]) => library as string).filter((library) => !LIBRARIES.test(library));
  if (others.length > 0) {
    throw new Error(
      `${process.execPath} needs ${others.join(', ')}: build with the Node.js that nodejs.org or the npm package node-linux-${process.arch} has`,
    );
  }
  install(fs.realpathSync(process.execPath), `${LIB}/runtime/node`, 0o755);
}

/** What the lock file has for running, and not only for development, as it is installed here. */
function copyNodeModules(): void {
  const lock = JSON.parse(fs.readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; dev?: boolean; devOptional?: boolean; optional?: boolean }>;
  };
  for (const [path, locked] of Object.entries(lock.packages)) {
    if (path === '' || locked.dev || locked.devOptional) continue;
    const from = join(ROOT, path);
    // Of another machine's kind.
    if (locked.optional && !fs.existsSync(from)) continue;
    const found = (JSON.parse(fs.readFileSync(join(from, 'package.json'), 'utf8')) as { version: string }).version;
    if (found !== locked.version) throw new Error(`${path}: found ${found}, locked is ${locked.version}: run npm ci`);
    fs.cpSync(from, join(root, LIB, path), {
      recursive: true,
      filter: (source) => source === from || !NOT_FOR_RUNNING.test(source.slice(from.length)),
    });
  }
  makePlain(join(root, LIB, 'node_modules'));
}

/** Some packages' files come with the mode of commands, whatever they are. */
function makePlain(folder: string): void {
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) fs.chmodSync(join(entry.parentPath, entry.name), 0o644);
  }
}

function writeDocuments(): void {
  for (const name of ['README.md', 'SECURITY.md', 'LICENSE', 'docs', 'integrations'])
    fs.cpSync(join(root, LIB, name), join(root, DOC, name), { recursive: true });
  // Not gateway.yaml, which is in /etc: a command that is given beside config/gateway.yaml would read that.
  for (const name of ['grafana', 'prometheus', 'keys.example.yaml'])
    fs.cpSync(join(root, LIB, 'config', name), join(root, DOC, 'config', name), { recursive: true });
  for (const name of [
    'README.md',
    'SECURITY.md',
    'LICENSE',
    'docs',
    'integrations',
    'packaging',
    'config',
    'CHANGELOG.md',
  ])
    fs.rmSync(join(root, LIB, name), { recursive: true });
  install(join(HERE, 'copyright'), `${DOC}/copyright`);
  install(join(HERE, 'lintian-overrides'), 'usr/share/lintian/overrides/session-gateway');
  const text = fs.readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8');
  write(`${DOC}/CHANGELOG.md`, text);
  const own = changelog(version, sectionOf(text, version), built);
  write(`${DOC}/changelog.gz`, gzipSync(own, { level: 9 }));
  const page = manPage(commandLine(), version, built);
  write('usr/share/man/man8/gateway.8.gz', gzipSync(page, { level: 9 }));
}

function writeCompletions(): void {
  for (const [shell, to] of Object.entries(COMPLETIONS)) {
    try {
      const command = [join(root, LIB, 'dist/gateway/main.js'), 'completion', shell];
      write(to, execFileSync(process.execPath, command, { stdio: ['ignore', 'pipe', 'ignore'] }));
    } catch {
      console.error(`no completions for ${shell}: this gateway has none`);
    }
  }
}

function writeControl(): void {
  const installedKiB = Number(output('du', '-sk', root).split('\t')[0]);
  write('DEBIAN/control', control(version, architecture as string, manifest.description, installedKiB));
  write('DEBIAN/conffiles', CONFFILES.map((file) => `/${file}\n`).join(''));
  for (const script of ['postinst', 'prerm', 'postrm']) install(join(HERE, script), `DEBIAN/${script}`, 0o755);
}
