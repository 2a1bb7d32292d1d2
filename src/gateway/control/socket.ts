/**
 * The Unix socket of the control API: mode 0660, no moment with more; a dead daemon's socket is replaced, a live one's
 * never. Imported by server.ts alone.
 */
import * as fs from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { failure, GatewayError, reasonOf, systemCode } from '../errors.ts';

const MODE = 0o660;
const FOLDER_MODE = 0o755;
/** Size of sun_path, less the zero at its end (unix(7)). */
const PATH_MAX_BYTES = 107;
const PROBE_TIMEOUT_MS = 2_000;

/**
 * Listens on a path: binds inside a folder that nobody else may enter, sets the mode, and moves the socket into place.
 * @param listen binds to the path it is given
 * @returns removes the socket, if it is still this one
 * @throws GatewayError SOCKET_IN_USE, SOCKET_UNUSABLE
 */
export async function listenOn(socket: string, listen: (path: string) => Promise<unknown>): Promise<() => void> {
  try {
    makeFolder(dirname(socket));
    await requireFree(socket);
    // Not join(…, '.'), which is the folder itself: its parent need not be writable.
    const folder = fs.mkdtempSync(`${dirname(socket)}/.`);
    const bound = join(folder, basename(socket));
    try {
      if (Buffer.byteLength(bound) > PATH_MAX_BYTES) throw new RangeError(`its path is too long`);
      await listen(bound);
      fs.chmodSync(bound, MODE);
      fs.renameSync(bound, socket);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw failure('SOCKET_UNUSABLE', { socket, reason: reasonOf(error) }, error);
  }
  const { ino } = fs.statSync(socket);
  return () => {
    if (fs.statSync(socket, { throwIfNoEntry: false })?.ino === ino) fs.rmSync(socket, { force: true });
  };
}

/** With its parents. One by one, since Node's own recursive way never ends where no folder can be made, as below /proc. */
function makeFolder(folder: string): void {
  if (fs.existsSync(folder)) return;
  makeFolder(dirname(folder));
  try {
    fs.mkdirSync(folder, { mode: FOLDER_MODE });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

/** Nothing is at the path, or a socket behind which nobody listens. */
async function requireFree(socket: string): Promise<void> {
  const stats = fs.lstatSync(socket, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new RangeError('there is a file that is not a socket, and it is left alone');
  if (await isLive(socket)) throw failure('SOCKET_IN_USE', { socket });
}

function isLive(socket: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    connection.setTimeout(PROBE_TIMEOUT_MS, () => settle(() => resolve(true)));
    connection.once('connect', () => settle(() => resolve(true)));
    connection.once('error', (error) => {
      const code = systemCode(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') settle(() => resolve(false));
      // Its queue of connections is full: somebody is behind it.
      else if (code === 'EAGAIN') settle(() => resolve(true));
      else settle(() => reject(error));
    });
    const settle = (action: () => void): void => {
      connection.destroy();
      action();
    };
  });
}
