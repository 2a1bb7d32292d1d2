/**
 * The version of this package, as package.json has it. May be imported by src/gateway only.
 */
import { readFileSync } from 'node:fs';
import { packageFile } from './package-files.ts';

const text = readFileSync(packageFile('package.json'), 'utf8');

export const VERSION: string = (JSON.parse(text) as { version: string }).version;
