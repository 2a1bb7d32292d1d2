/** The npm package, installed into an empty folder: it runs, its entries are imported from JavaScript, and their types hold. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishedManifest, ROOT } from '../../packaging/package-folder.ts';
import { createLookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { VERSION } from '../../src/gateway/version.ts';
import { addBackends, functionsOf } from '../sync/harness.ts';

const run = promisify(execFile);
const WAIT_MS = 60_000;
const folder = fs.mkdtempSync(join(tmpdir(), 'npm-package-'));
const installed = join(folder, 'node_modules/session-gateway');
const command = join(folder, 'node_modules/.bin/gateway');
/** A machine with this Node.js, and no other. */
const path = [join(folder, 'path'), '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':');

beforeAll(async () => {
  const built = await run(process.execPath, [join(ROOT, 'packaging/npm/build.ts')]);
  fs.writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const quiet = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', ...quiet, built.stdout.trim()], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  fs.mkdirSync(join(folder, 'path'));
  fs.symlinkSync(process.execPath, join(folder, 'path/node'));
}, 240_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

test('the command runs, from what was compiled', async () => {
  const { stdout } = await run(command, ['--version'], { env: { PATH: path }, cwd: '/' });
  expect(stdout).toBe(`${VERSION}\n`);
  expect(fs.existsSync(join(installed, 'src'))).toBe(false);
});

/** What the browser was answered with when it opened the console, by path, once the console shows what the daemon says. */
async function openConsole(stage: Stage): Promise<Map<string, number>> {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox'],
    timeout: WAIT_MS,
  });
  const forwarder = spawn(command, ['console', '-c', stage.configFile], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const ended = once(forwarder, 'exit').then(([code]) =>
      Promise.reject(new Error(`gateway console ended with ${code}`)),
    );
    ended.catch(() => undefined);
    const [address] = await Promise.race([once(createInterface(forwarder.stdout), 'line'), ended]);
    const page = await browser.newPage();
    const statuses = new Map<string, number>();
    page.on('response', (response) => statuses.set(new URL(response.url()).pathname, response.status()));
    await page.goto(address, { timeout: WAIT_MS });
    await page.getByTestId('state').getByText('Live').waitFor({ timeout: WAIT_MS });
    return statuses;
  } finally {
    await browser.close();
    await endProcess(forwarder, WAIT_MS);
  }
}

test('the daemon of the package answers a lookup, and its console opens', { timeout: 3 * WAIT_MS }, async () => {
  const stage = new Stage({ name: `npm${process.pid}`, capacity: 1_000, command });
  const before = process.env['PATH'];
  process.env['PATH'] = path;
  try {
    const [key] = stage.writeKeys([randomKey(1)]);
    if (key === undefined) throw new Error('no key was made');
    await stage.startRedis();
    const redis = new Redis({ path: stage.redisSocket, protocol: 2 });
    await addBackends(redis, 1);
    await functionsOf(redis).sessionSet('a', 'web-1', 600_000);
    redis.disconnect();
    await stage.startGateway();
    const client = createLookupClient({ servers: [{ host: GATEWAY_IPV4, port: stage.port }], key, timeoutMs: 5_000 });
    expect(await client.lookup('a')).toMatchObject({ status: 'FOUND', backend: 1 });
    await client.close();
    const statuses = await openConsole(stage);
    expect(Object.fromEntries([...statuses].filter(([, status]) => status !== 200))).toEqual({});
    expect([...statuses.keys()]).toEqual(
      expect.arrayContaining(['/console', '/console/main.js', '/console/lib/preact.js']),
    );
  } finally {
    process.env['PATH'] = before;
    await stage.close();
  }
});

test('its entries are imported from plain JavaScript', async () => {
  const script = `
    import { createLookupClient, readKey } from 'session-gateway/client';
    import { sessionRoutes } from 'session-gateway/express';
    console.log([createLookupClient, readKey, sessionRoutes].map((entry) => typeof entry).join());`;
  fs.writeFileSync(join(folder, 'entries.js'), script);
  const { stdout, stderr } = await run(process.execPath, ['entries.js'], { cwd: folder });
  expect({ stdout, stderr }).toEqual({ stdout: 'function,function,function\n', stderr: '' });
});

/** What the compiler says to a program that uses the package: nothing where all is well. */
async function compiled(program: string): Promise<string> {
  fs.writeFileSync(join(folder, 'program.ts'), program);
  const flags = '--noEmit --strict --module nodenext --target es2024 --types node'.split(' ');
  const types = ['--typeRoots', join(ROOT, 'node_modules/@types')];
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const result = run(process.execPath, [compiler, ...flags, ...types, 'program.ts'], { cwd: folder });
  return result.then(
    ({ stdout }) => stdout,
    ({ stdout }: { stdout: string }) => stdout,
  );
}

test('a program in TypeScript is checked against its types, with every declaration looked into', async () => {
  const program = `
    import { createLookupClient, readKey, type LookupResult } from 'session-gateway/client';
    import { sessionRoutes } from 'session-gateway/express';
    const client = createLookupClient({ servers: [{ host: '192.0.2.1' }], key: await readKey('keys.yaml') });
    const result: LookupResult = await client.lookup('a');
    const port: number | null = result.status === 'FOUND' ? result.port : null;
    console.log(port, typeof sessionRoutes);`;
  expect(await compiled(program)).toBe('');
  expect(await compiled(program.replace("'192.0.2.1'", '7'))).toContain("Type 'number' is not assignable");
});

test('every file that the code asks for is in the package', () => {
  const asked = fs
    .globSync('src/**/*.ts', { cwd: ROOT })
    .flatMap((file) => [...fs.readFileSync(join(ROOT, file), 'utf8').matchAll(/packageFile\('([^']+)'\)/g)])
    .map(([, file]) => file as string);
  expect(asked).toContain('build/gateway.bpf.o');
  // Nobody else knows where these are, so nothing is left out.
  const others = fs.globSync('src/**/*.ts', { cwd: ROOT }).filter((file) => file !== 'src/gateway/package-files.ts');
  expect(others.filter((file) => /['"`](\.\.\/)+build\//.test(fs.readFileSync(join(ROOT, file), 'utf8')))).toEqual([]);
  // Of the benchmarks, which say so themselves when they aren't there.
  const inCheckoutsOnly = ['bench/main.ts', 'scripts/ready'];
  expect(asked.filter((file) => !fs.existsSync(join(installed, file))).sort()).toEqual(inCheckoutsOnly);
});

test('beside the compiled code stands all that it reads from its own folder', () => {
  const beside = fs.globSync('src/**/*.*', { cwd: ROOT }).filter((file) => !file.endsWith('.ts'));
  expect(beside).toContain('src/sync/redis/library.lua');
  for (const file of beside) expect(fs.existsSync(join(installed, 'dist', file.slice('src/'.length))), file).toBe(true);
});

test('the configuration templates, the dashboard and the alert rules that the documents link to are there', () => {
  const linked = fs
    .globSync('docs/*.md', { cwd: installed })
    .flatMap((file) => [...fs.readFileSync(join(installed, file), 'utf8').matchAll(/\]\(\.\.\/(config\/[^)#]+)/g)])
    .map(([, file]) => file as string);
  expect(linked).toContain('config/grafana/session-gateway.json');
  expect(linked.filter((file) => !fs.existsSync(join(installed, file)))).toEqual([]);
});

test('nothing is installed but what runs: no source, no script, no secret', () => {
  const files = fs.readdirSync(installed, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1));
  expect(names.filter((name) => /(?<!\.d)\.ts$/.test(name))).toEqual([]);
  expect(names.filter((name) => /(^|\/)(keys\.yaml|\.env|.*\.pem)$/.test(name))).toEqual([]);
  const manifest = JSON.parse(fs.readFileSync(join(installed, 'package.json'), 'utf8'));
  expect(Object.keys(manifest)).not.toContain('scripts');
  expect(Object.keys(manifest)).not.toContain('devDependencies');
  for (const { default: code, types } of Object.values(manifest.exports).filter(
    (entry) => typeof entry === 'object',
  ) as {
    default: string;
    types: string;
  }[]) {
    expect(names).toContain(code.slice(2));
    expect(names).toContain(types.slice(2));
    expect(dirname(code)).toBe(dirname(types));
  }
});

test('an entry of package.json that would not be compiled is refused', () => {
  const manifest = { name: 'a', version: '1.0.0', description: '', dependencies: {} };
  expect(() => publishedManifest({ ...manifest, exports: { './x': './lib/x.js' } })).toThrow(
    'exports ./x: found ./lib/x.js, allowed: ./src/….ts',
  );
});
