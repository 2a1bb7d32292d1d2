/**
 * Programs that read their key file again on SIGHUP: one that comes while they start neither ends them nor is forgotten, and the
 * former key is wiped.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { SECRET_HEX } from '../auth/support/keys.ts';
import { freePort } from '../support/free-port.ts';

const PATIENCE_MS = 60_000;
const READ = 'the key file is read';
const WIPED = 'a key is wiped';

const GATEWAY = fileURLToPath(new URL('../../src/gateway/main.ts', import.meta.url));
const KEYRING = new URL('../../src/auth/keyring.ts', import.meta.url).href;
const PROXY = fileURLToPath(new URL('../../integrations/node/proxy.ts', import.meta.url));

const folder = fs.mkdtempSync(join(tmpdir(), 'hang-up-'));
const keys = join(folder, 'keys.yaml');
fs.writeFileSync(keys, `keys: [{ id: 1, name: one, secret: ${SECRET_HEX} }]\n`, { mode: 0o600 });
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Loaded first: says when the key file is opened and a key wiped, and hangs up when the former happens for the first time. */
const PRELOADED = `
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const open = fs.openSync;
  let isFirst = true;
  fs.openSync = (path, ...rest) => {
    if (path === ${JSON.stringify(keys)}) {
      console.error(${JSON.stringify(READ)});
      if (isFirst) process.kill(process.pid, 'SIGHUP');
      isFirst = false;
    }
    return open(path, ...rest);
  };
  syncBuiltinESMExports();
  const { Key } = await import(${JSON.stringify(KEYRING)});
  const { wipe } = Key.prototype;
  Key.prototype.wipe = function () {
    console.error(${JSON.stringify(WIPED)});
    wipe.call(this);
  };`;

test.each([
  ['the agent of HAProxy', [GATEWAY, 'spoe-agent', '--server', '127.0.0.1:6464']],
  ['the proxy', [PROXY, '--gateway', '127.0.0.1:6464', '--backend', 'http://127.0.0.1:1']],
])('%s', async (name, args) => {
  const port = await freePort();
  const listen = name === 'the proxy' ? `${port}` : `127.0.0.1:${port}`;
  const preload = `data:text/javascript,${encodeURIComponent(PRELOADED)}`;
  const child = spawn(process.execPath, ['--import', preload, ...args, '--listen', listen, '--keys', keys], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
  const ended = once(child, 'exit');
  const lines: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    lines.push(line);
    if (lines.length === 3) child.kill('SIGTERM');
  }
  expect(lines).toEqual([READ, READ, WIPED, WIPED]);
  expect(await ended).toEqual([0, null]);
});
