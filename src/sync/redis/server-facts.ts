/**
 * What a server says of itself that no notification tells: which history of data it holds, whether that was emptied or
 * exchanged as a whole, whether it is a master, and which events it sends. May be imported by src/sync only.
 */

import { SyncError } from '../errors.ts';
import { EVENTS_SETTING } from '../notifications/keyspace-events.ts';
import type { Connection } from './connection.ts';

export interface ServerFacts {
  /**
   * Changes with the process, with the replication history, and with each FLUSHALL, FLUSHDB and SWAPDB: of these no key
   * gets an event. Null where the user may not call INFO.
   */
  readonly dataIdentity: string | null;
  /** `master` or `slave`; null where the user may call neither INFO nor ROLE. */
  readonly role: string | null;
  /** The value of notify-keyspace-events; null where the user may not call CONFIG GET. */
  readonly events: string | null;
}

/** Fields of INFO, and the commands that change a whole database at once. */
const IDENTITY = /^(?:run_id|master_replid|cmdstat_(?:flushall|flushdb|swapdb)):(?:calls=\d+|[0-9a-f]+)/gm;

/** One INFO costs Redis about 50 µs. @throws SyncError REDIS_CLOSED, REDIS_TIMEOUT */
export async function readFacts(connection: Connection): Promise<ServerFacts> {
  const [info, config] = await Promise.all([
    unlessRefused(connection.call('INFO', 'server', 'replication', 'commandstats')),
    unlessRefused(connection.call('CONFIG', 'GET', EVENTS_SETTING)),
  ]);
  // One round trip more only where INFO does not say it.
  const role = /^role:(\w+)/m.exec(String(info))?.[1] ?? roleIn(await unlessRefused(connection.call('ROLE')));
  return {
    role,
    dataIdentity: info === null ? null : (String(info).match(IDENTITY)?.join(' ') ?? null),
    events: Array.isArray(config) && config.length === 2 ? String(config[1]) : null,
  };
}

/** @param reply of ROLE, or null */
function roleIn(reply: unknown): string | null {
  return Array.isArray(reply) ? String(reply[0]) : null;
}

async function unlessRefused(reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof SyncError && error.code === 'REDIS_REFUSED') return null;
    throw error;
  }
}
