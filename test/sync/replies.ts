/** Replies as the bytes that Redis sends, and read as the sync reads them. */

import { Reply } from '../../src/sync/redis/resp-reply.ts';
import { RespScanner } from '../../src/sync/redis/resp-scanner.ts';
import { EntryBatch } from '../../src/sync/stream/entry-batch.ts';

/** Strings and buffers as bulk strings, integers, null, Errors, and lists of those. */
export type Value = string | Buffer | number | null | Error | readonly Value[];

export function encodeReply(value: Value): Buffer {
  if (value === null) return Buffer.from('$-1\r\n');
  if (typeof value === 'number') return Buffer.from(`:${value}\r\n`);
  if (value instanceof Error) return Buffer.from(`-${value.message}\r\n`);
  if (typeof value === 'string' || Buffer.isBuffer(value)) {
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]);
  }
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(encodeReply)]);
}

/** One whole reply, and nothing after it. */
export function replyOf(bytes: Buffer): Reply {
  const scanner = new RespScanner();
  const taken = scanner.push(bytes);
  if (taken !== bytes.length) throw new Error(`found a reply of ${taken} bytes in ${bytes.length}`);
  return new Reply(scanner.store);
}

/** Entries as XREAD returns them: id, field, value, field, value, … */
export function batchOf(...entries: readonly (readonly [id: string, ...fields: string[]])[]): EntryBatch {
  const list = entries.map(([id, ...fields]): Value => [id, fields]);
  return new EntryBatch(replyOf(encodeReply([['sessions:feed', list]])), 0);
}
