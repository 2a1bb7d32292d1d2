import { describe, expect, it } from 'vitest';
import type { Backend } from '../../../src/sync/table.ts';
import { KnownBackends, UNKNOWN_NAMES_MAX } from '../../../src/sync/tables/known-backends.ts';

const backend = (name: string, id: number): Backend => ({
  name,
  id,
  address: new Uint8Array(16),
  port: 80,
  state: 'active',
  weight: 100,
  shed: 0,
});

const idOf = (known: KnownBackends, name: string): number => known.idOf(Buffer.from(name));

describe('KnownBackends', () => {
  it('finds ids by the bytes of a name', () => {
    const known = new KnownBackends();
    known.replace([backend('wéb-1', 7)]);
    expect(idOf(known, 'wéb-1')).toBe(7);
    expect(known.idOf(Buffer.from('wéb-1', 'latin1'))).toBe(0);
    expect(idOf(known, 'toString')).toBe(0);
  });

  it('counts unknown names, most often named first, until a new generation begins', () => {
    const known = new KnownBackends();
    for (const name of ['a', 'b', 'b', 'c', 'b', 'c']) idOf(known, name);
    expect(known.unknown()).toEqual([
      { name: 'b', records: 3 },
      { name: 'c', records: 2 },
      { name: 'a', records: 1 },
    ]);
    known.forgetUnknown();
    expect(known.unknown()).toEqual([]);
    expect(known.replace([backend('a', 1)])).toBe(false);
  });

  it('tells when sessions are stored wrongly: their name has become known', () => {
    const known = new KnownBackends();
    idOf(known, 'a');
    expect(known.replace([backend('b', 2)])).toBe(false);
    expect(known.replace([backend('b', 2), backend('a', 1)])).toBe(true);
    expect(known.unknown()).toEqual([]);
    expect(known.replace([backend('b', 2), backend('a', 1)])).toBe(false);
  });

  it('tells it of every new name once there were more unknown ones than are told apart', () => {
    const known = new KnownBackends();
    for (let i = 0; i < UNKNOWN_NAMES_MAX + 1; i++) idOf(known, `unknown-${i}`);
    expect(known.unknown()).toHaveLength(UNKNOWN_NAMES_MAX);
    expect(known.replace([backend('other', 1)])).toBe(true);
    expect(known.replace([backend('other', 1)])).toBe(false);
  });

  it('tells when a name comes back under another id', () => {
    const known = new KnownBackends();
    known.replace([backend('a', 1), backend('b', 2)]);
    expect(known.replace([])).toBe(false);
    expect(known.replace([backend('a', 11), backend('b', 2)])).toBe(true);
    expect(known.replace([backend('a', 11), backend('b', 2)])).toBe(false);
  });

  it('tells when a name has another id, or an id another name, even after a time without', () => {
    const known = new KnownBackends();
    known.replace([backend('a', 1), backend('b', 2)]);
    expect(known.replace([backend('a', 3), backend('b', 2)])).toBe(true);
    expect(known.replace([backend('a', 3)])).toBe(false);
    expect(known.replace([backend('a', 3), backend('b', 2)])).toBe(false);
    known.replace([backend('a', 3)]);
    expect(known.replace([backend('a', 3), backend('c', 2)])).toBe(true);
  });
});
