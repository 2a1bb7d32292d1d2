import { expect, test } from 'vitest';
import { warnings } from '../../../bench/compare/machine.ts';
import { figures, inTurns, median, type Section, spread, withDerived } from '../../../bench/compare/measure.ts';
import { lineRate, nicSection } from '../../../bench/compare/nic.ts';
import { plots } from '../../../bench/compare/plots.ts';
import { sectionData, sectionText } from '../../../bench/compare/report.ts';
import { targets, targetsText } from '../../../bench/compare/targets.ts';

test('medians and spreads', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([7]), median([])]).toEqual([2, 2.5, 7, Number.NaN]);
  expect(spread([90, 100, 130])).toBeCloseTo(0.2);
});

test('contenders take turns; one that fails has an empty turn and is told of, one that always fails is left out', async () => {
  const order: string[] = [];
  const contender = (name: string, fails: (turn: number) => boolean) => ({
    name,
    measure: async () => {
      order.push(name);
      const turn = order.filter((other) => other === name).length;
      if (fails(turn)) throw new Error(`broke in ${turn}`);
      return { ns: 10 * turn };
    },
  });
  const contenders = [contender('a', () => false), contender('b', (turn) => turn === 2), contender('c', () => true)];
  const { rows, leftOut } = await inTurns(3, contenders, () => {});
  expect(order.join('')).toBe('abcabcabc');
  expect(rows).toEqual([
    { name: 'a', turns: [{ ns: 10 }, { ns: 20 }, { ns: 30 }] },
    { name: 'b', turns: [{ ns: 10 }, {}, { ns: 30 }] },
  ]);
  expect(leftOut.map(({ name, why }) => `${name}: ${why}`)).toEqual([
    'c, turn 1: broke in 1',
    'b, turn 2: broke in 2',
    'c, turn 2: broke in 2',
    'c, turn 3: broke in 3',
  ]);
});

const section = (id: string, rows: Record<string, Record<string, number>[]>): Section => ({
  id,
  title: 'Title',
  about: 'About.',
  columns: [
    { id: 'ns', title: 'ns', digits: 0 },
    { id: 'echoes', title: 'echoes', digits: 2 },
  ],
  rows: Object.entries(rows).map(([name, turns]) => ({ name, turns })),
  leftOut: [{ name: 'x', why: 'y' }],
});

test('what is derived is of the same turn', () => {
  const { rows } = section('cost', {
    echo: [{ ns: 100 }, { ns: 200 }, {}],
    other: [{ ns: 500 }, { ns: 600 }, { ns: 700 }],
  });
  const derived = withDerived(rows, 'echo', (turn, echo) => ({
    echoes: (turn['ns'] ?? 0) / (echo['ns'] ?? Number.NaN),
  }));
  expect(derived.map((row) => figures(row, 'echoes'))).toEqual([
    [1, 1],
    [5, 3],
  ]);
});

test('the report has medians, spreads, and what was left out', () => {
  const found = section('cost', { 'a b': [{ ns: 1_100, echoes: 2 }, { ns: 900 }, { ns: 1_000 }], single: [{ ns: 5 }] });
  expect(sectionText(found).split('\n')).toEqual([
    '## Title',
    '',
    'About.',
    '',
    '| | ns | echoes | ± |',
    '|---|---:|---:|---:|',
    '| a b | 1,000 | 2.00 | 10 % |',
    '| single | 5 |  |  |',
    '',
    'Left out:',
    '',
    '- x: y',
  ]);
  expect(sectionData(found)).toMatchObject({ rows: [{ medians: { ns: 1_000, echoes: 2 } }, { medians: { ns: 5 } }] });
});

test('targets are ratios of the same turns, and what was left out is not taken for reached', () => {
  const cost = section('cost', {
    'hmac-sha256': [
      { ns: 600, echoes: 6 },
      { ns: 1_200, echoes: 7 },
    ],
    'hmac-sha256, encrypted': [
      { ns: 900, echoes: 9 },
      { ns: 1_800, echoes: 9 },
    ],
  });
  const all = targets([cost]);
  expect(all.map(({ found }) => found).slice(0, 3)).toEqual([6.5, Number.NaN, 1.5]);
  const text = targetsText(all);
  expect(text).toContain('| hmac-sha256, in bare echoes | at most 6.5 | 6.50 | reached |');
  expect(text).toContain('| blake2s, in bare echoes | at most 4.5 |  | not measured |');
  expect(text).toContain('| encrypted, in plain ones | at most 1.25 | 1.50 | missed |');
});

test('a machine that is not idle is told of', () => {
  const idle = { busyBefore: 0.01, busyAfter: 0.02, stolen: 0, leastShare: 0.99 };
  expect(warnings(idle)).toEqual([]);
  expect(warnings({ busyBefore: 0.5, busyAfter: 0.02, stolen: 0.1, leastShare: 0.4 })).toEqual([
    'others used 50 % of the CPUs before it',
    'the hypervisor took 10 % of the time',
    'the sender got only 40 % of its CPU at worst',
  ]);
});

test('plots are made of the sections that there are, and draw what is longer longer', () => {
  const drawn = plots([
    section('cost', {
      'sender alone': [{ echoes: 0.3 }],
      'bare echo': [{ echoes: 1 }],
      'hmac-sha256': [{ echoes: 5 }],
    }),
  ]);
  expect(Object.keys(drawn)).toEqual(['bench-cost.svg']);
  const svg = drawn['bench-cost.svg'] ?? '';
  const widths = [...svg.matchAll(/width="([\d.]+)" height="15"/g)].map((match) => Number(match[1]));
  expect(widths).toHaveLength(2);
  expect((widths[1] ?? 0) / (widths[0] ?? 0)).toBeCloseTo(5, 1);
  expect(svg).toContain('prefers-color-scheme: dark');
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
});

test('on paper, a core does what its cost says, and the wire takes what its frames leave room for', () => {
  // 80 bytes, and 42, 4 and 20 around them, make 1,168 bits; a batch of 64 has 1,080 bytes
  expect(lineRate(1)).toBeCloseTo(100e9 / 1_168, 0);
  expect(lineRate(64)).toBeCloseTo((64 * 100e9) / (8 * 1_146), 0);
  const cost = section('cost', {
    'bare echo': [{ own: 0.1 }],
    'hmac-sha256': [{ own: 0.4 }, { own: 0.5 }, { own: 0.6 }],
    'hmac-sha256, generic mode': [{ own: 1 }],
    'blake2s, batch of 64': [{ own: 0.1 }],
  });
  const paper = nicSection([cost]);
  expect(paper?.rows.map(({ name }) => name)).toEqual(['hmac-sha256', 'blake2s, batch of 64']);
  expect(paper?.rows[0]?.turns[0]?.['core']).toBeCloseTo(2_000_000, 0);
  expect(paper?.rows[0]?.turns[0]?.['cores']).toBeCloseTo(42.8, 1);
  expect(nicSection([])).toBeUndefined();
});
