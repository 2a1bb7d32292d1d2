/**
 * What the gateway is to reach, as ratios of one run, and whether it did. Pure. May be imported by bench only.
 */
import { figures, median, type Section } from './measure.ts';

/** Without a bound it is only told. */
export interface Target {
  readonly name: string;
  readonly atMost?: number;
  readonly atLeast?: number;
  /** The ratio that was found; NaN where a part of it was left out. */
  readonly found: number;
}

export function targets(sections: readonly Section[]): Target[] {
  const turns = (section: string, row: string, column: string): number[] => {
    const found = sections.find(({ id }) => id === section)?.rows.find(({ name }) => name === row);
    return found === undefined ? [] : figures(found, column);
  };
  const of = (section: string, row: string, column: string): number => median(turns(section, row, column));
  /** Of the same turns. */
  const ratio = (section: string, row: string, base: string, column: string): number => {
    const bases = turns(section, base, column);
    return median(turns(section, row, column).flatMap((value, i) => value / (bases[i] ?? Number.NaN)));
  };
  const inverse = (value: number): number => 1 / value;
  const tables = sections.find(({ id }) => id === 'sessions')?.rows.map(({ name }) => name) ?? [];
  const [small, large] = ['1,000 sessions', '10,000,000 sessions'];
  return [
    { name: 'hmac-sha256, in bare echoes', atMost: 6.5, found: of('cost', 'hmac-sha256', 'echoes') },
    { name: 'blake2s, in bare echoes', atMost: 4.5, found: of('cost', 'blake2s', 'echoes') },
    {
      name: 'encrypted, in plain ones',
      atMost: 1.25,
      found: ratio('cost', 'hmac-sha256, encrypted', 'hmac-sha256', 'ns'),
    },
    { name: 'forged packets (guard), in bare echoes', atMost: 1.7, found: of('cost', 'forged: wrong guard', 'echoes') },
    {
      name: 'a lookup of a batch of 64, in bare echoes',
      atMost: 1.3,
      found: of('cost', 'hmac-sha256, batch of 64', 'echoes'),
    },
    {
      name: '10 million sessions, in 1,000',
      atMost: 2.3,
      found: tables.includes(large) ? ratio('sessions', large, small, 'ns') : Number.NaN,
    },
    {
      name: 'throughput, in that of user space in C',
      atLeast: 2,
      found: of('alternatives', 'user space in C', 'slower'),
    },
    {
      name: 'CPU-seconds per million of user space in C, in the gateway’s',
      atLeast: 4,
      found: of('alternatives', 'user space in C', 'dearer'),
    },
    {
      name: 'throughput with batches of 64, in that of user space in C without',
      atLeast: 5,
      found: inverse(ratio('alternatives', 'user space in C', 'gateway, batch of 64', 'perSecond')),
    },
    {
      name: 'CPU-seconds per million of user space in C with batches of 64, in the gateway’s with batches of 64',
      found: ratio('alternatives', 'user space in C, batch of 64', 'gateway, batch of 64', 'cpu'),
    },
  ];
}

export function targetsText(all: readonly Target[]): string {
  const lines = ['## Targets', '', '| ratio | wanted | found | |', '|---|---|---:|---|'];
  for (const { name, atMost, atLeast, found } of all) {
    const wanted = atMost !== undefined ? `at most ${atMost}` : atLeast !== undefined ? `at least ${atLeast}` : '';
    const reached = (atMost === undefined || found <= atMost) && (atLeast === undefined || found >= atLeast);
    const verdict = Number.isNaN(found) ? 'not measured' : wanted === '' ? '' : reached ? 'reached' : 'missed';
    lines.push(`| ${name} | ${wanted} | ${Number.isNaN(found) ? '' : found.toFixed(2)} | ${verdict} |`);
  }
  return lines.join('\n');
}
