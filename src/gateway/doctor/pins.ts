/**
 * The BPF file system, what is pinned there, and which programs are ours. May be imported by src/gateway/commands/doctor.ts and tests.
 */
import { accessSync, closeSync, constants, existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ABI_HASH, SHARED_HASH } from '../../abi.ts';
import type { Config } from '../config.ts';
import { systemCode } from '../errors.ts';
import { openPin, xdpLinkInfo } from '../kernel/libbpf.ts';
import { canHoldPins } from '../kernel/pins.ts';
import { type Finding, finding, looked, ok } from './finding.ts';

const MAPS = /^(?:maps|shared)-[0-9a-f]+/;
/** Directories that are looked into for pins of other gateways, and how deep. */
const DIRECTORIES_MAX = 1_000;
const DEPTH_MAX = 2;
const LINKS_MAX = 1_000;

export function checkPins({ pins, sessions }: Config): Finding[] {
  const name = 'pins';
  return looked('BPF file system', 'see that the path above it can be reached', () => {
    if (!canHoldPins(pins)) return finding('bpffs-missing', 'BPF file system', `${pins} is not on one`);
    const findings = [ok('BPF file system', `holds ${pins}`)];
    const there = nearestExisting(pins);
    if (!isWritable(there))
      findings.push(finding('pins-not-writable', name, `this user may not write to ${there}`, { path: there }));
    const own = [`maps-${ABI_HASH}-${sessions.capacity}`, `shared-${SHARED_HASH}`];
    const others = mapDirectories(pins).filter((directory) => !own.includes(directory));
    if (others.length > 0) findings.push(finding('pins-of-another-layout', name, others.slice(0, 10).join(', ')));
    const elsewhere = pinsBelow(bpffsOf(pins)).filter((directory) => directory !== pins);
    if (elsewhere.length > 0) findings.push(finding('pins-elsewhere', name, elsewhere.slice(0, 10).join(', ')));
    return findings;
  });
}

/** Ids of the programs that links below `pins` attach; null where they can't be read, as by another user than the daemon's. */
export function ownPrograms(pins: string): ReadonlySet<number> | null {
  const folder = join(pins, 'links');
  try {
    const programs = readdirSync(folder)
      .slice(0, LINKS_MAX)
      .map((file) => programOf(join(folder, file)));
    return programs.includes(undefined) ? null : new Set(programs as number[]);
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? new Set() : null;
  }
}

/** Undefined where the pin can't be opened. */
function programOf(pin: string): number | undefined {
  const link = openPin(pin);
  if (link === undefined) return undefined;
  try {
    return xdpLinkInfo(link)?.programId;
  } finally {
    closeSync(link);
  }
}

function nearestExisting(path: string): string {
  return existsSync(path) || path === dirname(path) ? path : nearestExisting(dirname(path));
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Names of directories of maps; none where that can't be read. */
function mapDirectories(path: string): string[] {
  try {
    return readdirSync(path).filter((name) => MAPS.test(name));
  } catch {
    return [];
  }
}

/** The uppermost folder of the BPF file system that `path` is on. */
function bpffsOf(path: string): string {
  const above = dirname(path);
  return above !== path && canHoldPins(above) ? bpffsOf(above) : path;
}

/** Directories that have maps of a gateway. */
function pinsBelow(top: string): string[] {
  const found: string[] = [];
  let level = [top];
  let seen = 0;
  for (let depth = 0; depth <= DEPTH_MAX && seen < DIRECTORIES_MAX; depth++) {
    const next: string[] = [];
    for (const directory of level.slice(0, DIRECTORIES_MAX - seen)) {
      seen += 1;
      if (mapDirectories(directory).length > 0) found.push(directory);
      else next.push(...foldersIn(directory));
    }
    level = next;
  }
  return found;
}

function foldersIn(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, basename(entry.name)));
  } catch {
    return [];
  }
}
