import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashSlot } from '../../../src/sync/redis/hash-slot.ts';
import { freePorts, RedisNode } from '../redis-node.ts';

let node: RedisNode;
beforeAll(async () => {
  const [port = 0] = await freePorts(1, 23_100);
  node = await RedisNode.start({ port, settings: ['cluster-enabled yes'] });
});
afterAll(() => node?.stop());

const KEYS = [
  '',
  'a',
  '123456789',
  'sess:3b1f',
  '{gateway}:backends',
  '{gateway}:feed',
  'a{b}c',
  'a{}c',
  'a{b',
  'a}b{c',
  'a{{b}}c',
  '{a}{b}',
  'ü{é}',
];

describe('hashSlot', () => {
  it.each(KEYS)('of %j is what Redis says', async (key) => {
    expect(hashSlot(key)).toBe(await node.client().call('CLUSTER', 'KEYSLOT', key));
  });

  it('of any bytes is what Redis says', async () => {
    const keys = Array.from({ length: 500 }, (_, i) => randomBytes(i % 50));
    const slots = await Promise.all(keys.map((key) => node.client().call('CLUSTER', 'KEYSLOT', key)));
    expect(keys.map((key) => hashSlot(key))).toEqual(slots);
  });

  it('is that of the published vector', () => {
    // CRC-16/XMODEM of "123456789" (Redis Cluster specification, appendix A).
    expect(hashSlot('123456789')).toBe(0x31c3 % 16_384);
  });
});
