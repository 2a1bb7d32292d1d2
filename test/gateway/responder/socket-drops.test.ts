import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { SocketDrops } from '../../../src/gateway/responder/socket-drops.ts';

const HEADER =
  '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops';
const line = (address: string, drops: number): string =>
  ` 4711: ${address} 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 66 2 0000000047a76617 ${drops}     `;

test('the drops of the sockets on a port are counted, of IPv4 and IPv6, over sockets that come and go', () => {
  const tables: Record<string, string[]> = { '/proc/net/udp': [], '/proc/net/udp6': [] };
  const drops = new SocketDrops(6464, (table) => [HEADER, ...(tables[table] ?? [])].join('\n'));
  let nowMs = 5_000;
  expect([drops.count(nowMs), drops.isDropping(nowMs)]).toEqual([0, false]);
  tables['/proc/net/udp'] = [line('0100007F:1940', 3), line('0100007F:1941', 100), line('0200007F:1940', 4)];
  tables['/proc/net/udp6'] = [line(`${'0'.repeat(32)}:1940`, 5)];
  expect(drops.count(nowMs), 'looked at once a second').toBe(0);
  nowMs += 1_000;
  expect([drops.isDropping(nowMs), drops.count(nowMs)]).toEqual([true, 12]);
  nowMs += 1_000;
  expect(drops.isDropping(nowMs), 'a second later, before the next look may come').toBe(true);
  tables['/proc/net/udp6'] = [];
  nowMs += 2_000;
  expect([drops.isDropping(nowMs), drops.count(nowMs)]).toEqual([false, 12]);
  tables['/proc/net/udp'] = [line('0100007F:1940', 9)];
  nowMs += 1_000;
  expect([drops.count(nowMs), drops.isDropping(nowMs)]).toEqual([14, true]);
});

test('no table, no drops', () => {
  const drops = new SocketDrops(6464, () => {
    throw new Error('ENOENT');
  });
  expect([drops.count(5_000), drops.isDropping(5_000)]).toEqual([0, false]);
});

test('the kernel says so of a real socket', async () => {
  const full = createSocket({ type: 'udp4', recvBufferSize: 4_096 });
  full.bind(0, '127.0.0.1');
  await once(full, 'listening');
  const { port } = full.address();
  const drops = new SocketDrops(port);
  expect(drops.count(0)).toBe(0);
  const sender = createSocket('udp4');
  await new Promise<void>((resolve) => sender.connect(port, '127.0.0.1', resolve));
  // In one turn, in which nothing is received.
  for (let i = 0; i < 500; i++) sender.send(Buffer.alloc(1_000));
  const counted = drops.count(1_000);
  sender.close();
  full.close();
  expect(counted).toBeGreaterThan(0);
  expect(counted).toBeLessThan(500);
});
