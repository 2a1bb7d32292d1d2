import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { RespChannel } from '../../../src/sync/redis/resp-channel.ts';
import type { Reply } from '../../../src/sync/redis/resp-reply.ts';
import { encodeReply, type Value } from '../replies.ts';

const toValue = (reply: Reply): unknown => reply.toValue();

function setUp() {
  const stream = new PassThrough();
  const channel = new RespChannel(stream);
  const receive = (...values: Value[]): void => channel.receive(Buffer.concat(values.map(encodeReply)));
  return { stream, channel, receive };
}

it('sends a command as an array of bulk strings', () => {
  const { stream, channel } = setUp();
  void channel.send(['SET', Buffer.from([0xff, 0x0d]), 'é', 12], toValue, false);
  const expected = Buffer.from('*4\r\n$3\r\nSET\r\n$2\r\n\xff\r\r\n$2\r\n\xc3\xa9\r\n$2\r\n12\r\n', 'latin1');
  expect(stream.read()).toEqual(expected);
  void channel.send(['GET', 'é', 12], toValue, false);
  expect(stream.read()).toEqual(Buffer.from('*3\r\n$3\r\nGET\r\n$2\r\né\r\n$2\r\n12\r\n'));
});

it('gives each command its reply, in their order, and errors as such', async () => {
  const { channel, receive } = setUp();
  const replies = ['A', 'B', 'C'].map((command) => channel.send([command], toValue, false));
  receive('a', new Error('ERR b'), ['c', new Error('ERR d')]);
  expect(await replies[0]).toEqual(Buffer.from('a'));
  await expect(replies[1]).rejects.toMatchObject({ name: 'ReplyError', message: 'ERR b' });
  expect(await replies[2]).toEqual([Buffer.from('c'), expect.objectContaining({ message: 'ERR d' })]);
});

it('keeps a reply that is kept while others come, up to the one after the next that is kept', async () => {
  const { channel, receive } = setUp();
  const whole = (reply: Reply): Reply => reply;
  const first = channel.send(['A'], whole, true);
  const others = ['B', 'C', 'D'].map((command) => channel.send([command], toValue, false));
  const second = channel.send(['E'], whole, true);
  receive('first', 'x'.repeat(200_000), 'c', 'd', 'second');
  expect((await first).toValue()).toEqual(Buffer.from('first'));
  expect((await second).toValue()).toEqual(Buffer.from('second'));
  expect(await others[1]).toEqual(Buffer.from('c'));
});

it('rejects with what reading a reply throws, and goes on', async () => {
  const { channel, receive } = setUp();
  const refused = channel.send(
    ['A'],
    () => {
      throw new TypeError('no');
    },
    false,
  );
  const next = channel.send(['B'], toValue, false);
  receive('a', 'b');
  await expect(refused).rejects.toThrow('no');
  expect(await next).toEqual(Buffer.from('b'));
});

it('takes no reply that it did not ask for', () => {
  const { channel, receive } = setUp();
  void channel.send(['A'], toValue, false);
  expect(() => receive('a', 'b')).toThrow('not asked');
});

it('fails what is under way and what comes after, once there are no replies any more', async () => {
  const { channel } = setUp();
  const [before] = [channel.send(['A'], toValue, false)];
  channel.fail(new Error('cut'));
  channel.fail(new Error('later'));
  await expect(before).rejects.toThrow('cut');
  await expect(channel.send(['B'], toValue, false)).rejects.toThrow('cut');
});

it('tells once when a reply begins, before it is read, however it is torn', async () => {
  const { stream, channel } = setUp();
  const events: string[] = [];
  const begun = (first: Buffer): void => void events.push(`begun ${first.toString()}`);
  const read = (reply: Reply): void => void events.push(`read ${reply.slice(0).toString()}`);
  const both = [channel.send(['A'], read, true, begun), channel.send(['B'], read, true, begun)];
  for (const piece of ['$', '3\r\nab', 'c\r\n$1\r\nd', '\r\n']) channel.receive(Buffer.from(piece));
  await Promise.all(both);
  expect(events).toEqual(['begun $', 'read abc', 'begun $1\r\nd', 'read d']);
  stream.read();
  const after = channel.send(['C'], toValue, false, () => void channel.send(['D'], toValue, false));
  channel.receive(encodeReply('c'));
  expect(await after).toEqual(Buffer.from('c'));
  expect(stream.read().toString()).toBe('*1\r\n$1\r\nC\r\n*1\r\n$1\r\nD\r\n');
});
