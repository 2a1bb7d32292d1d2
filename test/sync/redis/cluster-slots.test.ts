import { describe, expect, it } from 'vitest';
import { parseClusterSlots, slotsWithoutOwner } from '../../../src/sync/redis/cluster-slots.ts';

const ASKED = { host: 'asked', port: 1 };
const node = (host: string | null, port: number) => [
  host === null ? null : Buffer.from(host),
  port,
  Buffer.from('id'),
  [],
];

describe('parseClusterSlots', () => {
  it('finds masters with all their ranges in order, and all nodes', () => {
    const reply = [
      [10, 16_383, node('10.0.0.2', 7), node('10.0.0.3', 7)],
      [0, 4, node('10.0.0.1', 7)],
      [5, 9, node('10.0.0.2', 7), node('10.0.0.3', 7)],
    ];
    const { masters, nodes } = parseClusterSlots(reply, ASKED);
    expect([...masters].map(([id, { slots }]) => [id, slots])).toEqual([
      ['10.0.0.1:7', [[0, 4]]],
      [
        '10.0.0.2:7',
        [
          [5, 9],
          [10, 16_383],
        ],
      ],
    ]);
    expect(nodes.map(({ host }) => host)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    expect(slotsWithoutOwner(masters.values())).toBe(0);
  });

  it('takes the host that was asked for one that is not named, and leaves unknown replicas out', () => {
    const { masters, nodes } = parseClusterSlots([[0, 9, node(null, 7), node('?', 8)]], ASKED);
    expect([...masters.keys()]).toEqual(['asked:7']);
    expect(nodes).toEqual([{ host: 'asked', port: 7 }]);
    expect(slotsWithoutOwner(masters.values())).toBe(16_374);
  });

  it('brackets IPv6', () => {
    expect([...parseClusterSlots([[0, 9, node('2001:db8::1', 7)]], ASKED).masters.keys()]).toEqual(['[2001:db8::1]:7']);
  });

  it.each([
    [null],
    ['OK'],
    [[null]],
    [[[0]]],
    [[[0, 9]]],
    [[[0, 9, null]]],
    [[[0, 9, ['h', 0]]]],
    [[[0, 9, ['h', 'x']]]],
    [[[9, 0, ['h', 7]]]],
    [[[0, 16_384, ['h', 7]]]],
    [[['0', '9', ['h', 7]]]],
    [[[0, 9, ['?', 7]]]],
    [Array.from({ length: 1001 }, (_, i) => [i, i, ['h', i + 1]])],
  ])('refuses %j', (reply) => {
    expect(() => parseClusterSlots(reply, ASKED)).toThrow(expect.objectContaining({ code: 'REDIS_REPLY' }));
  });
});
