import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { giveBackProgramPages, readOnlyMappings } from '../../../src/gateway/kernel/resident-memory.ts';

const mapping = (range: string, permissions: string, path: string, ownKb: number): string =>
  `${range} ${permissions} 0034a000 fe:00 5324812                            ${path}
Size:              43000 kB
Rss:               37456 kB
Anonymous:         ${String(ownKb).padStart(5)} kB
VmFlags: rd ex mr mw me
`;

describe('readOnlyMappings', () => {
  it('takes what the file alone has, and nothing that was written to', () => {
    const smaps = [
      mapping('0074a000-0074c000', 'r-xp', '/opt/node', 0),
      mapping('00800000-00803000', 'r--p', '/opt/node', 0),
      // Relocated at the start and protected afterwards.
      mapping('00900000-00901000', 'r--p', '/opt/node', 4),
      mapping('00a00000-00a01000', 'rw-p', '/opt/node', 0),
      mapping('7f0000000000-7f0000001000', 'r-xp', '/lib/libc.so.6', 0),
      mapping('7f1000000000-7f1000001000', 'r-xp', '', 0),
    ].join('');
    expect(readOnlyMappings(smaps, '/opt/node')).toEqual([
      { address: 0x74a000n, bytes: 0x2000 },
      { address: 0x800000n, bytes: 0x3000 },
    ]);
  });

  it('finds the text of this process', () => {
    const found = readOnlyMappings(readFileSync('/proc/self/smaps', 'utf8'), process.execPath);
    expect(found.length).toBeGreaterThan(0);
  });
});

it('what is given back is read again when it is needed', () => {
  giveBackProgramPages();
  expect(JSON.parse(JSON.stringify({ a: [1, 2, 3].map(String) }))).toEqual({ a: ['1', '2', '3'] });
  expect('Ä'.normalize('NFD')).toHaveLength(2);
});
