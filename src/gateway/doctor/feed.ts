/**
 * The stream that the daemon follows: there, trimmed, and not trimmed away from under the daemon. Imported by redis.ts alone.
 */
import type { Status } from '../ports.ts';
import { type Finding, finding, ok } from './finding.ts';
import { asked, type Call } from './redis-call.ts';

/** The functions trim to about a million. */
const LENGTH_MAX = 2_000_000;
/** Of the stream, unread: then as much again and entries are lost. */
const NEARLY_OVERTAKEN = 0.5;
/** A lag that is not worth a word, entries. */
const LAG_MIN = 1_000;

export async function checkFeed(
  name: string,
  stream: string,
  call: Call,
  status: Status | undefined,
): Promise<Finding[]> {
  const answer = await asked(call, 'XINFO', 'STREAM', stream);
  if ('refused' in answer) {
    const { refused } = answer;
    if (refused.includes('no such key')) return [finding('feed-missing', name, `there is no ${stream}`)];
    if (refused.includes('WRONGTYPE')) return [finding('feed-not-a-stream', name, `${stream} is of another type`)];
    // In a cluster, another master's.
    return refused.includes('MOVED') ? [] : [finding('feed-unread', name, refused)];
  }
  const fields = Array.isArray(answer.reply) ? answer.reply : [];
  const length = Number(fields[fields.findIndex((field) => String(field) === 'length') + 1]);
  return judgeFeed(name, length, status?.sync.lagEntries ?? null);
}

/** @param lagEntries that the daemon has not read; null where that isn't known */
export function judgeFeed(name: string, length: number, lagEntries: number | null): Finding[] {
  const lag = lagEntries === null ? '' : `, of which ${lagEntries} are not applied yet`;
  const found = `${length} ${length === 1 ? 'entry' : 'entries'}${lag}`;
  if (lagEntries !== null && lagEntries > length) return [finding('feed-overtaken', name, found)];
  if (lagEntries !== null && lagEntries > LAG_MIN && lagEntries > length * NEARLY_OVERTAKEN)
    return [finding('feed-nearly-overtaken', name, found)];
  return [length > LENGTH_MAX ? finding('feed-long', name, found) : ok(name, found)];
}
