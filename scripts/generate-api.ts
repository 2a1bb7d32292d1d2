/**
 * Generates docs/api.md from the description of the control API, that is, from the schemas that check its requests.
 *
 *     node scripts/generate-api.ts [--check]
 *
 * With --check nothing is written: exits 1 when the committed file is not what would be generated.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { apiText } from '../src/gateway/control/api-text.ts';
import { apiDescription } from '../src/gateway/control/routes.ts';

const OUTPUT = fileURLToPath(new URL('../docs/api.md', import.meta.url));

const text = apiText(apiDescription());
if (!process.argv.includes('--check')) {
  writeFileSync(OUTPUT, text);
} else if (readFileSync(OUTPUT, 'utf8') !== text) {
  process.stderr.write('docs/api.md is not what the schemas give: run "npm run generate"\n');
  process.exitCode = 1;
}
