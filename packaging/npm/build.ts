/**
 * Builds the npm package, build/npm/session-gateway-VERSION.tgz:
 *
 *     npm run build:npm
 *
 * It is installed as any other: no install script, no compiler, and no Node.js but the machine's.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { makePackageFolder, ROOT, readManifest } from '../package-folder.ts';

const OUT = join(ROOT, 'build/npm');

const folder = join(OUT, 'package');
makePackageFolder(folder);
execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', OUT], {
  cwd: folder,
  stdio: ['ignore', 'ignore', 'inherit'],
});
const { name, version } = readManifest();
console.log(join(OUT, `${name}-${version}.tgz`));
