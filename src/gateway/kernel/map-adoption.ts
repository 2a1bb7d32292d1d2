/**
 * Pinned maps put in the place of those that an object declares, if they are what it declares. Imported by datapath.ts
 * alone.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type BpfObject, type MapShape, mapShape, openPin } from './libbpf.ts';

/**
 * All of them or none.
 * @returns what is wrong with those that are pinned, where they can't be adopted
 * @throws BpfError when the kernel does not let this process at them
 */
export function adoptMaps(object: BpfObject, directory: string, names: readonly string[]): string | undefined {
  const opened = new Map<string, number>();
  try {
    for (const name of names) {
      const fd = openPin(join(directory, name));
      if (fd === undefined) return `the pin ${name} is missing`;
      opened.set(name, fd);
      const problem = difference(mapShape(fd), object.mapShape(name));
      if (problem !== undefined) return `the pin ${name} is another map: ${problem}`;
    }
    for (const [name, fd] of opened) object.reuseMap(name, fd);
    return undefined;
  } finally {
    for (const fd of opened.values()) fs.closeSync(fd);
  }
}

function difference(found: MapShape, expected: MapShape): string | undefined {
  const fields = Object.keys(expected) as (keyof MapShape)[];
  const differing = fields.filter((field) => found[field] !== expected[field]);
  if (differing.length === 0) return undefined;
  return differing.map((field) => `${field}: found ${found[field]}, allowed ${expected[field]}`).join('; ');
}
