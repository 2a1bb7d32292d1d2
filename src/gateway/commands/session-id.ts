/**
 * A session id from the command line: an argument, or standard input for `-`, which keeps it out of the process list and the
 * shell's history. May be imported by src/gateway/commands only.
 */
import { SID_MAX_BYTES } from '../../sync/limits.ts';
import { failure } from '../errors.ts';

/**
 * @param input standard input
 * @throws GatewayError SESSION_ID_INVALID
 */
export async function readSessionId(argument: string, input: AsyncIterable<Buffer>): Promise<string> {
  const bytes = argument === '-' ? await readAll(input) : Buffer.from(argument, 'utf8');
  if (bytes.length === 0) throw failure('SESSION_ID_INVALID', { found: 'nothing' });
  if (bytes.length > SID_MAX_BYTES) throw failure('SESSION_ID_INVALID', { found: `more than ${SID_MAX_BYTES} bytes` });
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw failure('SESSION_ID_INVALID', { found: 'bytes that are not UTF-8' }, error);
  }
}

/** Standard input without the line break at its end; no more of it than can show that it is too much. */
async function readAll(input: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > SID_MAX_BYTES + '\r\n'.length) break;
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}
