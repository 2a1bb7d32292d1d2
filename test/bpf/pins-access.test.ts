/** Who can open what is pinned: the keys are in there. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BpfLab } from './lab.ts';

test('nobody but its owner can open a pin', () => {
  const lab = new BpfLab();
  try {
    const pins = readdirSync(lab.pins, { recursive: true, encoding: 'utf8' });
    expect(pins.some((path) => path.endsWith('/keys'))).toBe(true);
    // The folder that holds all, and, should somebody open that up, each pin for itself.
    for (const path of ['.', ...pins]) {
      const stat = statSync(join(lab.pins, path));
      if (path !== '.' && stat.isDirectory()) continue;
      expect(stat.mode & 0o077, `${path} has mode 0${(stat.mode & 0o777).toString(8)}`).toBe(0);
    }
  } finally {
    lab.close();
  }
});
