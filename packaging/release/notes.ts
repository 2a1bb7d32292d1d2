/**
 * Prints the release notes of a version: its section of CHANGELOG.md, or what is unreleased where it has none yet.
 *
 *     npm run --silent release:notes [-- VERSION]       the present version without one
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, readManifest } from '../package-folder.ts';
import { sectionOf } from './changelog.ts';

const present = readManifest().version;
const version = process.argv[2] ?? present;
const { name, date, text } = sectionOf(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8'), version, present);
console.log(`# session-gateway ${version} (${name === version ? date : 'not released yet'})\n\n${text}`);
