/**
 * One command to Redis, whose refusal is an answer too. Imported by redis.ts and feed.ts.
 */
import { SyncError } from '../../sync/errors.ts';

export type Call = (command: string, ...args: string[]) => Promise<unknown>;

/** What Redis refuses this user is told as such. */
export type Answer = { readonly reply: unknown } | { readonly refused: string };

/** @throws SyncError where the connection is cut, or Redis does not answer in time */
export async function asked(call: Call, command: string, ...args: string[]): Promise<Answer> {
  try {
    return { reply: await call(command, ...args) };
  } catch (error) {
    if (error instanceof SyncError && error.code === 'REDIS_REFUSED') return { refused: error.message };
    throw error;
  }
}
