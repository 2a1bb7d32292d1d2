/** How the example proxy for Node.js ends, whatever users and backends do. No gateway: nobody has a session. */
import { once } from 'node:events';
import { Agent, type ClientRequest, createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SessionProxy } from '../../integrations/node/proxy.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { makeKey } from '../auth/support/keys.ts';
import { refusedAddress } from '../client/fake-gateway.ts';

let backend: Server;
let client: LookupClient;
let proxy: SessionProxy;

async function start(): Promise<void> {
  client = createLookupClient({ servers: [refusedAddress()], key: makeKey() });
  backend = createServer();
  const url = await listening(backend);
  proxy = new SessionProxy({ client, cookie: 'connect.sid', backends: [url] });
  await listening(proxy.server);
}

async function listening(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const portOf = ({ server }: SessionProxy): number => (server.address() as AddressInfo).port;

beforeEach(start);
afterEach(async () => {
  await client.close();
  await new Promise((resolve) => backend.close(resolve));
});

function askForWebSocket(): ClientRequest {
  const headers = { connection: 'Upgrade', upgrade: 'websocket' };
  return get({ host: '127.0.0.1', port: portOf(proxy), headers, agent: false });
}

/** When it is closed, by an error or without. */
function isClosed(part: ClientRequest | Duplex): Promise<void> {
  return new Promise((resolve) => part.on('error', () => undefined).once('close', () => resolve()));
}

/** Node.js leaves an upgraded socket half open when the other side ends it: until it can't be written to any more. */
async function untilBroken(socket: Duplex): Promise<void> {
  const closed = isClosed(socket.resume());
  const writing = setInterval(() => socket.write('x'), 10);
  await closed;
  clearInterval(writing);
}

test('with a WebSocket that neither side ends', async () => {
  backend.on('upgrade', (_, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  });
  const seen = once(backend, 'upgrade');
  const [, socket] = (await once(askForWebSocket(), 'upgrade')) as [IncomingMessage, Duplex];
  const [, behind] = (await seen) as [IncomingMessage, Duplex];
  const ended = Promise.all([isClosed(socket.resume()), untilBroken(behind)]);
  await proxy.close();
  await ended;
});

test('with a WebSocket that the backend has not answered', async () => {
  const seen = once(backend, 'upgrade');
  const asked = isClosed(askForWebSocket());
  const [, behind] = (await seen) as [IncomingMessage, Duplex];
  behind.once('end', () => behind.destroy());
  const ended = Promise.all([asked, isClosed(behind.resume())]);
  await proxy.close();
  await ended;
});

test('with a user who keeps asking over one connection, after the request under way', async () => {
  backend.on('request', (_, response) => response.end('whole'));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (): Promise<IncomingMessage> => {
    const [response] = (await once(get({ host: '127.0.0.1', port: portOf(proxy), agent }), 'response')) as [
      IncomingMessage,
    ];
    return response;
  };
  expect(await ask().then(async (response) => [response.headers.connection, String(await buffer(response))])).toEqual([
    'keep-alive',
    'whole',
  ]);
  const arrived = once(backend, 'request');
  const last = ask();
  await arrived;
  const closed = proxy.close();
  const response = await last;
  expect([response.headers.connection, String(await buffer(response))]).toEqual(['close', 'whole']);
  await closed;
  agent.destroy();
});
