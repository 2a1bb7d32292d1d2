/**
 * The entry point of the command line, started by bin/gateway. Nothing but Node.js' own modules is imported before the
 * compile cache is on, so that what follows comes from it.
 */
import { enableCompileCache } from 'node:module';
import { userInfo } from 'node:os';
import { join } from 'node:path';

/**
 * Compiled code is kept below the home of the user that runs this, as the system's user list has it: in a folder that
 * others can write to, such as the default below /tmp, they could put code of theirs in its place.
 */
function cacheFolder(): string | undefined {
  try {
    return join(userInfo().homedir, '.cache', 'session-gateway');
  } catch {
    // A user without an entry in the list, as in containers: do without.
    return undefined;
  }
}

const folder = cacheFolder();
if (folder !== undefined) enableCompileCache(folder);

// The reader has gone, as in `gateway status | head -1`: nobody is left to be told.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const { runCommandLine } = await import('./command-line.ts');
process.exitCode = await runCommandLine(process.argv.slice(2));
