/** What the client does to the process that uses it: what it loads, and that it never keeps it running. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeKey, SECRET_HEX } from '../auth/support/keys.ts';
import { FakeGateway, refusedAddress } from './fake-gateway.ts';

const run = promisify(execFile);
const ENTRY = new URL('../../src/client/index.ts', import.meta.url).href;
/** A process that has not ended by itself by then is ended, and the test fails. */
const PATIENCE_MS = 20_000;

let gateway: FakeGateway;
beforeAll(async () => {
  gateway = await FakeGateway.start([makeKey()]);
});
afterAll(() => gateway.close());

async function runScript(script: string): Promise<string> {
  const args = ['--input-type=module', '-e', `import { createLookupClient } from ${JSON.stringify(ENTRY)};\n${script}`];
  const { stdout, stderr } = await run(process.execPath, args, { timeout: PATIENCE_MS });
  expect(stderr).toBe('');
  return stdout;
}

function create(servers: readonly { host: string; port: number }[], timeoutMs = 10_000): string {
  const options = { servers, key: { id: 1, secret: SECRET_HEX }, timeoutMs };
  return `const client = createLookupClient(${JSON.stringify(options)});`;
}

describe('a process ends by itself', () => {
  it('with a client that nobody used', async () => {
    await runScript(create([gateway.address]));
  });

  it('after lookups, without close', async () => {
    const script = `${create([gateway.address])}
      for (let i = 0; i < 3; i++) console.log((await client.lookup('x')).status);`;
    expect(await runScript(script)).toBe('NOT_FOUND\n'.repeat(3));
  });

  it('after a lookup that nobody answered, which it waits for', async () => {
    const silent = await FakeGateway.start([]);
    const script = `${create([silent.address], 50)} client.lookup('x').then(({ status }) => console.log(status));`;
    expect(await runScript(script)).toBe('UNREACHABLE\n');
    await silent.close();
  });

  it('after lookups that were refused', async () => {
    const script = `${create([refusedAddress()])}
      for (let i = 0; i < 3; i++) console.log((await client.lookup('x')).reason);`;
    expect(await runScript(script)).toBe('REFUSED\n'.repeat(3));
  });

  it('after close, with nothing left open', async () => {
    const script = `${create([gateway.address])}
      await client.lookup('x');
      await client.close();
      console.log(process.getActiveResourcesInfo().filter((name) => /UDP|Timeout/.test(name)).length);`;
    expect(await runScript(script)).toBe('0\n');
  });
});

it('loads nothing outside this package but the hashes, until a key file is asked for', async () => {
  const script = `
    import { registerHooks } from 'node:module';
    const loaded = new Set();
    registerHooks({ load(url, context, next) { loaded.add(url); return next(url, context); } });
    const { readKey } = await import(${JSON.stringify(ENTRY)});
    const packages = () => [...loaded].map((url) => /.*node_modules[/]((?:@[^/]+[/])?[^/]+)/.exec(url)?.[1]).filter(Boolean);
    console.log(JSON.stringify([...new Set(packages())]));
    await readKey('/nowhere').catch(({ code }) => console.log(code));
    console.log(packages().includes('zod'), packages().includes('yaml'));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { timeout: PATIENCE_MS });
  expect(stdout).toBe('["@noble/hashes"]\nKEY_FILE_UNREADABLE\ntrue true\n');
});
