/**
 * The version of this package, as package.json has it. May be imported by src/gateway only.
 */
import { readFileSync } from 'node:fs';

// The same two steps up from src/gateway and from dist/gateway.
const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');

export const VERSION: string = (JSON.parse(text) as { version: string }).version;
