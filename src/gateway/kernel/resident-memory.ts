/**
 * Gives back what of Node.js's own program file is resident without being used. The kernel may map that file in pages of 2 MB, of
 * which the daemon touches little; without them it takes about half as much. May be imported by src/gateway only.
 */
import { readFileSync } from 'node:fs';
import { forgetFilePages, refuseLargePages } from './libc.ts';

interface Mapping {
  readonly address: bigint;
  readonly bytes: number;
}

/** Once, after the start: what is needed is read from the page cache again, in small pages. Where it can't be done nothing happens. */
export function giveBackProgramPages(): void {
  if (!refuseLargePages()) return;
  for (const { address, bytes } of readOnlyMappings(readFileSync('/proc/self/smaps', 'utf8'), process.execPath)) {
    forgetFilePages(address, bytes);
  }
}

/**
 * The mappings of a file that can't be written to and never were: what the kernel can read from the file again.
 * @param smaps /proc/PID/smaps
 */
export function readOnlyMappings(smaps: string, file: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const text of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const [, from, to, permissions, path] = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/m.exec(text) ?? [];
    if (from === undefined || to === undefined || permissions === undefined || path !== file) continue;
    const own = /^Anonymous:\s+(\d+) kB$/m.exec(text)?.[1];
    if (permissions.includes('w') || own !== '0') continue;
    const address = BigInt(`0x${from}`);
    mappings.push({ address, bytes: Number(BigInt(`0x${to}`) - address) });
  }
  return mappings;
}
