/**
 * Before a release: says what about its version doesn't fit together, and changes nothing.
 *
 *     npm run release:check [-- --final]
 *
 * Exits 1 when something doesn't. --final: what is about to be published, so that nothing may be unreleased any more.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programOptions } from '../../scripts/program-options.ts';
import { ROOT, readManifest } from '../package-folder.ts';
import { problems } from './consistency.ts';

const values = programOptions(
  'npm run release:check --',
  'Says what about the version of a release does not fit together.',
  {
    final: { type: 'boolean', default: false, about: 'nothing may be unreleased any more' },
  },
);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const found = problems(
  {
    manifest: read('package.json'),
    lock: read('package-lock.json'),
    changelog: read('CHANGELOG.md'),
    kubernetes: read('packaging/kubernetes/session-gateway.yaml'),
  },
  values.final,
);
for (const problem of found) console.error(problem);
if (found.length === 0) console.log(`${readManifest().version}: all that names the version agrees`);
process.exitCode = found.length === 0 ? 0 : 1;
