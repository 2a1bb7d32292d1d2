/** A connection whose replies are read in place, against a server that answers what the test says. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { REPLY_MAX_BYTES } from '../../../src/sync/limits.ts';
import { Connection } from '../../../src/sync/redis/connection.ts';
import { redisOptions } from '../../../src/sync/redis/redis-options.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import { EntryBatch } from '../../../src/sync/stream/entry-batch.ts';
import { encodeReply, type Value } from '../replies.ts';

const OK = Buffer.from('+OK\r\n');

let directory: string;
let server: Server;
let peer: Socket;
let answers: Buffer[];
const stop = new AbortController();

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'session-gateway-connection-'));
  answers = [];
  server = createServer((socket) => {
    peer = socket;
    socket.on('error', () => undefined);
    // CLIENT SETNAME is what ioredis sends; all that follows is answered in its order.
    socket.once('data', () => {
      socket.write(OK);
      socket.on('data', () => {
        for (const answer of answers.splice(0)) socket.write(answer);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(join(directory, 'redis.sock'), resolve));
});

afterEach(async () => {
  peer?.destroy();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

async function open(): Promise<Connection> {
  const options = redisOptions({ url: `unix://${join(directory, 'redis.sock')}` }, 'session-gateway-test');
  const connection = await Connection.open(options, systemRuntime, stop.signal);
  connection.readInPlace();
  connection.expectReplyWithin(60_000);
  return connection;
}

const ended = (connection: Connection): Promise<void> => new Promise((resolve) => connection.onEnd(resolve));

describe('a connection that is read in place', () => {
  it('gives replies, errors and entries as they come', async () => {
    const connection = await open();
    answers = [encodeReply(['a', 1, null])];
    expect(await connection.call('A')).toEqual([Buffer.from('a'), 1, null]);
    answers = [encodeReply(new Error('WRONGTYPE no'))];
    await expect(connection.call('B')).rejects.toMatchObject({ code: 'REDIS_REFUSED', message: 'B: WRONGTYPE no' });
    answers = [encodeReply([['feed', [['1-0', ['op', 'set']]]]])];
    const batch = await connection.read((reply) => new EntryBatch(reply, 0), 'XREAD');
    expect(batch.fields(batch.first, 16).map(String)).toEqual(['op', 'set']);
    connection.drop();
    await ended(connection);
  });

  it('reads a transaction, and says what was refused in one that was aborted', async () => {
    const connection = await open();
    answers = [OK, Buffer.from('+QUEUED\r\n'), encodeReply([['a', 'b']])];
    const read = connection.readTransaction([['A']], (replies) => replies.slice(3).toString());
    expect(await read).toBe('b');
    answers = [OK, encodeReply(new Error('NOPERM no')), encodeReply(new Error('EXECABORT aborted'))];
    await expect(connection.transaction([['A']])).rejects.toMatchObject({ message: 'A: NOPERM no' });
    answers = [OK, Buffer.from('+QUEUED\r\n'), encodeReply(null)];
    await expect(connection.readTransaction([['A']], () => 1)).rejects.toMatchObject({ code: 'REDIS_REPLY' });
    connection.drop();
    await ended(connection);
  });

  it('says what it was where a reply is there and can not be understood, and goes on', async () => {
    const connection = await open();
    answers = [encodeReply(['a'])];
    const read = connection.read(() => {
      throw new RangeError('found 17');
    }, 'XREAD');
    const message = "XREAD: the reply can't be understood: found 17";
    await expect(read).rejects.toMatchObject({ code: 'REDIS_REPLY', message });
    answers = [encodeReply('b')];
    expect(await connection.call('B')).toEqual(Buffer.from('b'));
    connection.drop();
    await ended(connection);
  });

  it.each<[string, string, Buffer]>([
    ['bytes that are no reply', 'REDIS_REPLY', Buffer.from('HTTP/1.1 400 Bad Request\r\n')],
    ['more than was asked for', 'REDIS_REPLY', Buffer.concat([OK, OK])],
    ['a length beyond any', 'REPLY_TOO_LARGE', Buffer.from(`$${REPLY_MAX_BYTES + 1}\r\n`)],
    ['more bytes than a reply may have', 'REPLY_TOO_LARGE', encodeReply(large())],
  ])('is dropped where the server sends %s', async (_, code, bytes) => {
    const connection = await open();
    answers = [bytes];
    await Promise.allSettled([connection.call('A')]);
    await ended(connection);
    await expect(connection.call('C')).rejects.toMatchObject({ code });
  });

  it('fails what is under way where it is cut in a reply', async () => {
    const connection = await open();
    const call = connection.call('A');
    peer.end('*2\r\n$3\r\nab');
    await expect(call).rejects.toMatchObject({ code: 'REDIS_CLOSED' });
    await expect(connection.call('B')).rejects.toMatchObject({ code: 'REDIS_CLOSED' });
  });
});

function large(): Value {
  const part = 'x'.repeat(2 ** 20);
  return Array.from({ length: REPLY_MAX_BYTES / part.length + 1 }, () => part);
}
