/**
 * The TypeScript model (src/auth/respond.ts) as a server over node:dgram: `model-server.ts STATE ADDRESS PORT`. Prints "ready" when it serves. A
 * program of its own.
 */
import { createSocket } from 'node:dgram';
import { respond } from '../../src/auth/respond.ts';
import { readTables } from './state.ts';

const [path = '', address = '', port = ''] = process.argv.slice(2);
const tables = readTables(path);
const source = new Uint8Array(16);
const RECEIVE_BUFFER = 8 << 20;

const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER });
socket.on('message', (datagram, from) => {
  const { reply } = respond(datagram, source, tables, Date.now());
  if (reply !== undefined) socket.send(reply, from.port, from.address);
});
socket.bind(Number(port), address, () => console.log('ready'));
