import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { closed, plainBytes } from '../../src/client/sockets.ts';

describe('closed', () => {
  it('closes a socket that is open', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    await closed(socket);
    expect(() => socket.address()).toThrow('Not running');
  });

  it('closes a socket that was never used, and one that is still being connected', async () => {
    await closed(createSocket('udp4'));
    const socket = createSocket('udp4');
    socket.connect(9, '127.0.0.1');
    await closed(socket);
    expect(() => socket.address()).toThrow('Not running');
  });

  it('closes a socket whose bind fails meanwhile', async () => {
    const socket = createSocket('udp4');
    const errors: string[] = [];
    socket.on('error', ({ message }) => errors.push(message));
    // An address for documentation, RFC 5737: no machine has it. connect makes what follows wait for the bind.
    socket.bind(0, '192.0.2.1');
    socket.connect(9, '127.0.0.1');
    await closed(socket);
    expect(errors[0]).toContain('EADDRNOTAVAIL');
    expect(() => socket.address()).toThrow('Not running');
  });

  it('takes errors that come after the end', async () => {
    const socket = createSocket('udp4');
    socket.on('error', () => {});
    await closed(socket);
    expect(() => socket.emit('error', new Error('late'))).not.toThrow();
  });
});

it('gives bytes whose slice is a copy', () => {
  const buffer = Buffer.from([0, 1, 2, 3]).subarray(1);
  const bytes = plainBytes(buffer);
  const copy = bytes.slice();
  buffer[0] = 9;
  expect([...bytes]).toEqual([9, 2, 3]);
  expect([...copy]).toEqual([1, 2, 3]);
});
