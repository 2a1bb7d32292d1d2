import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, test, vi } from 'vitest';
import { addressBytes } from '../../../src/gateway/addresses.ts';
import { DatagramSockets, type Sender } from '../../../src/gateway/responder/datagram-sockets.ts';
import { refusedAddress } from '../../client/fake-gateway.ts';

/** Replies that wait, as libuv would count them. */
const QUEUED_MAX = 4_096;

afterEach(() => vi.restoreAllMocks());

test('where replies are made faster than they are sent, what is too much is dropped, and counted', async () => {
  const { host, port } = refusedAddress();
  let take: (sender: Sender) => void;
  const sockets = new DatagramSockets({
    port,
    log: { error: () => undefined, info: () => undefined },
    zoneOf: () => undefined,
    received: (_datagram, sender) => take(sender),
  });
  sockets.setAddresses([addressBytes(host)]);
  await sockets.settled();
  const client = createSocket('udp4');
  await new Promise<void>((resolve) => client.connect(port, host, resolve));
  try {
    const came = new Promise<Sender>((resolve) => {
      take = resolve;
    });
    client.send('asked');
    const sender = await came;
    const queued = vi.spyOn(Socket.prototype, 'getSendQueueCount').mockReturnValue(QUEUED_MAX);
    sender.reply(Buffer.from('one too many'));
    expect(sockets.unsent).toBe(1);
    queued.mockReturnValue(QUEUED_MAX - 1);
    sender.reply(Buffer.from('the last that fits'));
    expect(sockets.unsent).toBe(1);
    const [answer] = await once(client, 'message');
    expect(String(answer)).toBe('the last that fits');
  } finally {
    client.close();
    sockets.close();
  }
});
