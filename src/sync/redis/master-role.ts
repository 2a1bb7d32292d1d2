/**
 * A connection to a server that is named as master, and says itself that it is one. May be imported by src/sync only.
 */

import { SyncError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { Connection } from './connection.ts';
import { CONNECT_TIMEOUT_MS, type ConnectionOptions } from './redis-options.ts';

/**
 * @param id the server, for the message
 * @throws SyncError NO_MASTER where it is a replica; as Connection.open
 */
export async function openMasterNode(
  options: ConnectionOptions,
  id: string,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<Connection> {
  const connection = await Connection.open(options, runtime, signal);
  try {
    connection.expectReplyWithin(CONNECT_TIMEOUT_MS);
    const reply = await connection.call('ROLE');
    connection.expectNothing();
    const role = Array.isArray(reply) ? String(reply[0]) : 'unknown';
    if (role !== 'master') throw new SyncError('NO_MASTER', `${id} is named as master, but its role is ${role}`);
    return connection;
  } catch (error) {
    connection.drop();
    throw error;
  }
}
