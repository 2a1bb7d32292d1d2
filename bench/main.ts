/**
 * `npm run bench [-- NAME] [options]`: each benchmark is a program of its own and says at its top what it shows. Without a name it is the
 * comparison.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BENCHES: Record<string, string> = {
  balance: 'balance/balance.ts',
  compare: 'compare/compare.ts',
  drain: 'drain/drain.ts',
  flood: 'flood/flood.ts',
  haproxy: 'haproxy/haproxy.ts',
  lookups: 'lookups/lookups.ts',
  nginx: 'nginx/nginx.ts',
  resync: 'resync/resync.ts',
  scale: 'scale.ts',
  sync: 'sync/sync.ts',
  watching: 'watching/watching.ts',
};
const DEFAULT = 'compare';

const given = process.argv.slice(2);
if (given[0] === '--help' || given[0] === '-h') {
  console.log(`usage: npm run bench [-- NAME] [options]

Measures the gateway on this machine. npm run bench -- NAME --help shows the options.

names, ${DEFAULT} unless told: ${Object.keys(BENCHES).join(', ')}`);
  process.exit(0);
}
const named = given[0] !== undefined && !given[0].startsWith('-');
const [name = '', ...args] = named ? given : [DEFAULT, ...given];
const file = BENCHES[name];
if (file === undefined) {
  console.error(`found "${name}", allowed: ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}
const script = fileURLToPath(new URL(file, import.meta.url));
process.exit(spawnSync(process.execPath, [script, ...args], { stdio: 'inherit' }).status ?? 1);
