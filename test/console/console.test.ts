/** The console in a real browser, before a real gateway: real Redis, real packets, the address that `gateway console` prints. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Redis } from 'ioredis';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from '../e2e/until.ts';
import { GATEWAY } from '../gateway/support/command.ts';

const WAIT_MS = 60_000;
const WAIT = { timeout: WAIT_MS };
/** Of a test: so that what it waits for in vain is told. */
const LIMIT = { timeout: 2 * WAIT_MS };
const SESSIONS = 300;
const BACKENDS = ['web-1', 'web-2', 'web-3'];
const FEED = 'sessions:feed';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let stage: Stage;
let redis: Redis;
let client: LookupClient;
let forwarder: ChildProcess;
let browser: Browser;
let page: Page;
/** What `gateway console` printed. */
let address: URL;
/** Of the browser: errors, and whatever the policy refused. */
const complaints: string[] = [];

const sidOf = (i: number) => `user ${i}`;
const users = Array.from({ length: SESSIONS }, (_, i) => i);
const storedOn = (i: number) => 1 + (i % BACKENDS.length);
const row = (name: string) => page.locator(`[data-backend="${name}"]`);
const button = (name: string) => page.getByRole('button', { name, exact: true });
const focused = () => page.evaluate('document.activeElement.ariaLabel ?? document.activeElement.id');
const isFocused = (name: string) => expect.poll(focused, WAIT).toBe(name);
const state = () => page.getByTestId('state');

/** By number, which backend each user is answered with. */
async function answers(): Promise<(number | null)[]> {
  const results = await Promise.all(users.map((i) => client.lookup(sidOf(i))));
  return results.map(({ backend }) => backend);
}

/** Asks for everyone again and again until it holds: so there is traffic to be shown. */
function underTraffic(holds: () => Promise<boolean>): Promise<void> {
  return until(async () => {
    await answers();
    return await holds();
  }, WAIT_MS);
}

const textOf = async (locator: Locator) => (await locator.textContent({ timeout: WAIT_MS })) ?? '';
const says = (locator: Locator, text: string | RegExp) => expect.poll(() => textOf(locator), WAIT).toMatch(text);

async function patch(name: string, fields: object): Promise<void> {
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, name, JSON.stringify(fields));
}

function startForwarder(): Promise<URL> {
  forwarder = spawn(GATEWAY, ['console', '-c', stage.configFile, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  let printed = '';
  return new Promise((resolve, reject) => {
    forwarder.once('exit', (code) => reject(new Error(`gateway console ended with ${code}`)));
    forwarder.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      printed += chunk;
      if (printed.endsWith('}\n')) resolve(new URL(JSON.parse(printed).address));
    });
  });
}

beforeAll(async () => {
  stage = new Stage({ name: `sgw-con-${process.pid}` });
  const [key] = stage.writeKeys([randomKey(1)]);
  if (key === undefined) throw new Error('no key');
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  for (const [i, name] of BACKENDS.entries()) await patch(name, { id: i + 1, address: `10.1.0.${i + 1}:8080` });
  await Promise.all(
    users.map((i) =>
      redis.fcall('session_set', 2, `sess:${sidOf(i)}`, FEED, sidOf(i), `web-${storedOn(i)}`, 3_600_000),
    ),
  );
  await stage.startGateway();
  client = createLookupClient({ servers: [{ host: GATEWAY_IPV4, port: stage.port }], key, timeoutMs: 2_000 });
  [address, browser] = await Promise.all([
    startForwarder(),
    chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'], timeout: WAIT_MS }),
  ]);
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
  context.setDefaultTimeout(WAIT_MS);
  page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // That an answer was a refusal the browser says by itself; here some are.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      complaints.push(message.text());
    }
  });
});

afterAll(async () => {
  await browser?.close();
  if (forwarder !== undefined) await endProcess(forwarder, 5_000);
  await client?.close();
  redis?.disconnect();
  await stage?.close();
});

afterEach(() => {
  expect(complaints.splice(0)).toEqual([]);
});

async function violations(): Promise<unknown[]> {
  await page.evaluate(AXE);
  const { violations: found } = (await page.evaluate('axe.run(document)')) as { violations: Violation[] };
  return found.map(({ id, nodes }) => ({ id, at: nodes.map(({ html, failureSummary }) => [html, failureSummary]) }));
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

test('without the token: an empty page, that asks for it and refuses another', LIMIT, async () => {
  await page.goto(`${address.origin}/console`);
  await page.getByLabel('Token').fill('not-the-token-of-this-run-by-far');
  await page.getByLabel('Token').press('Enter');
  await says(page.getByRole('alert'), /found another token/);
  expect(await violations()).toEqual([]);
  await page.getByLabel('Token').fill(address.hash.slice('#token='.length));
  await button('Sign in').click();
  await says(state(), 'Live');
  await button('Sign out').click();
  await page.getByLabel('Token').waitFor();
  await page.reload();
  await page.getByLabel('Token').waitFor();
});

describe('with the address that the command prints', LIMIT, () => {
  test('the token is taken out of the address, and the figures come', async () => {
    await page.goto(address.href);
    await says(state(), 'Live');
    expect(page.url()).toBe(`${address.origin}/console`);
    await says(row('web-1').getByTestId('sessions'), '100');
    await underTraffic(async () => /[1-9]/.test(await textOf(row('web-1').getByTestId('rate'))));
    await underTraffic(async () => /[1-9]/.test(await textOf(page.getByTestId('rate').first())));
    // The gateway has told how it is, and nobody else is there.
    await says(page.locator('.fleet tbody tr'), /this one.*Live/s);
  });

  test('a token that is refused meanwhile is asked for again, and not tried on', async () => {
    let asked = 0;
    await page.route('**/v1/backends', async (route) => {
      asked += 1;
      await route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"detail":"found another"}' });
    });
    await says(page.getByRole('alert'), 'It was refused: found another');
    const gone = await page.evaluate('sessionStorage.length');
    await page.unroute('**/v1/backends');
    expect([gone, asked]).toEqual([0, 1]);
    await page.getByLabel('Token').fill(address.hash.slice('#token='.length));
    await button('Sign in').click();
    await says(state(), 'Live');
  });

  test('backends that can’t be read are shown as they were, and since when', async () => {
    const panel = page.locator('.backends');
    await page.route('**/v1/backends', (route) =>
      route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"detail":"Redis is away"}' }),
    );
    await says(panel, /As of \d\d:\d\d:\d\d: they can’t be read: Redis is away/);
    await says(row('web-1').getByTestId('sessions'), '100');
    expect(await violations()).toEqual([]);
    await page.unroute('**/v1/backends');
    await expect.poll(() => textOf(panel), WAIT).not.toMatch(/As of/);
  });

  test('a backend is drained by mouse: its users are answered with others, and are shown so; and undone', async () => {
    await button('Drain web-1').click();
    await says(row('web-1').getByTestId('backend-state'), 'draining');
    await until(async () => (await answers()).every((backend) => backend !== 1), WAIT_MS);
    await underTraffic(async () => (await textOf(row('web-1').getByTestId('rate'))) === '0');
    await says(row('web-1'), /all answered elsewhere/);
    await button('Undo').click();
    await says(row('web-1').getByTestId('backend-state'), 'active');
    await until(async () => (await answers()).every((backend, i) => backend === storedOn(i)), WAIT_MS);
  });

  test('the slider says how many would move before it is let go; by keyboard', async () => {
    await button('Shed users of web-2').focus();
    await page.keyboard.press('Enter');
    const slider = page.getByRole('slider');
    await expect.poll(() => page.evaluate('document.activeElement.type'), WAIT).toBe('range');
    for (let i = 0; i < 3; i++) await page.keyboard.press('PageUp');
    const percent = Number(await slider.inputValue());
    expect(percent).toBeGreaterThan(0);
    await says(
      page.getByTestId('preview'),
      new RegExp(`^About ${percent} users of 100 will move: web-\\d \\d+, web-\\d \\d+\\.$`),
    );
    // Nothing has happened yet.
    expect(await answers()).toEqual(users.map(storedOn));
    await page.keyboard.press('Enter');
    await says(row('web-2').getByTestId('backend-state'), `sheds ${percent} %`);
    await isFocused('Shed users of web-2');
    const { shed } = JSON.parse((await redis.hget('gateway:backends', 'web-2')) ?? '');
    expect(shed).toBe(percent * 100);
    await until(async () => (await answers()).some((backend, i) => backend !== storedOn(i)), WAIT_MS);
    await page.getByRole('status').getByRole('button', { name: 'Undo' }).last().focus();
    await page.keyboard.press('Enter');
    await says(row('web-2').getByTestId('backend-state'), 'active');
    await isFocused('Drain web-2');
  });

  test('a part is typed to two decimals, and what is typed stays while the figures go on', async () => {
    await button('Shed users of web-2').click();
    const field = page.getByLabel('Percent');
    const figures = () => page.evaluate('document.querySelector(".who .muted").textContent');
    const typedSlowly = async (keys: string) => {
      for (const key of keys) {
        await field.press(key);
        const before = await figures();
        if (key === '.') await expect.poll(figures, WAIT).not.toBe(before);
      }
    };
    await field.fill('');
    await typedSlowly('12.05');
    expect(await field.inputValue()).toBe('12.05');
    await button('Shed 12.05 %').waitFor();
    for (let i = 0; i < 5; i++) await field.press('Backspace');
    expect(await field.inputValue()).toBe('');
    await typedSlowly('30');
    await button('Shed 30 %').waitFor();
    await field.fill('140');
    await page.getByRole('slider').focus();
    expect(await field.inputValue()).toBe('100');
    await button('Cancel').click();
  });

  test('a change that somebody else has made since is not undone', async () => {
    await button('Drain web-3').focus();
    await page.keyboard.press('Space');
    await says(row('web-3').getByTestId('backend-state'), 'draining');
    await isFocused('Undrain web-3');
    await patch('web-3', { state: 'down' });
    await button('Undo').last().click();
    await says(page.locator('.toast.bad'), /changed by somebody else/);
    await says(row('web-3').getByTestId('backend-state'), 'down');
    // Whoever said that it is down has to say that it works.
    await button('Undrain web-3').click();
    await button('It works').click();
    await says(row('web-3').getByTestId('backend-state'), 'active');
  });

  test('what hurts is asked about, and isn’t done where the answer is no', async () => {
    await button('Say that web-3 is down').click();
    const question = page.getByRole('dialog');
    await says(question, /Say that web-3 is down\?/);
    expect(await violations()).toEqual([]);
    await page.keyboard.press('Escape');
    await question.waitFor({ state: 'detached' });
    await isFocused('Say that web-3 is down');
    expect(JSON.parse((await redis.hget('gateway:backends', 'web-3')) ?? '').state).toBe('active');
    await button('Say that web-3 is down').click();
    await question.getByRole('button', { name: 'It is down' }).click();
    await says(row('web-3').getByTestId('backend-state'), 'down');
    await isFocused('Undrain web-3');
  });

  test('a backend that is down is settled, and removed', async () => {
    await button('Settle web-3').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Settle' }).click();
    await says(row('web-3'), /Settled: 100 users moved\./);
    expect(await redis.hget(`sess:${sidOf(2)}`, 'backend')).toMatch(/^web-[12]$/);
    await button('Remove web-3').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await row('web-3').waitFor({ state: 'detached' });
    await isFocused('backends');
    await says(page.locator('.log'), /web-3 is removed/);
  });

  test('the last active backend is drained only by who has read that new users are answered with none', async () => {
    await button('Drain web-1').click();
    await says(row('web-1').getByTestId('backend-state'), 'draining');
    await button('Drain web-2').click();
    const question = page.getByRole('dialog');
    await says(question, /No other backend takes users\..*who is new is answered with none: NOT_FOUND/s);
    await question.getByRole('button', { name: 'Drain' }).click();
    await says(row('web-2').getByTestId('backend-state'), 'draining');
    await until(async () => (await client.lookup('nobody')).backend === null, WAIT_MS);
    expect((await client.lookup(sidOf(0))).backend).toBe(1);
    await says(page.locator('.log'), /web-2 is draining: no other backend takes users, so they stay/);
    for (const name of ['web-1', 'web-2']) {
      await button(`Undrain ${name}`).click();
      await says(row(name).getByTestId('backend-state'), 'active');
    }
  });

  test('no violation of axe, in light and in dark; and nothing to scroll sideways on a phone', async () => {
    await button('Shed users of web-1').click();
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const width of [1280, 375]) {
        await page.setViewportSize({ width, height: 900 });
        expect(await violations()).toEqual([]);
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      }
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    await button('Cancel').click();
  });

  test('the gateway is lost: the page says so and keeps the last figures, the kernel answers; and it comes back', async () => {
    const figures = await textOf(page.getByTestId('sessions').first());
    await stage.stopGateway('SIGKILL');
    await says(state(), 'Away');
    await says(
      page.locator('.live'),
      /The gateway is away\..*no gateway is running.*The kernel goes on answering.*for \d+ s/is,
    );
    expect(await page.title()).toMatch(/^Away/);
    expect(await textOf(page.getByTestId('sessions').first())).toBe(figures);
    expect(await button('Drain web-1').isDisabled()).toBe(true);
    expect(await violations()).toEqual([]);
    expect((await client.lookup(sidOf(0))).status).toBe('FOUND');
    await stage.startGateway();
    await button('Try now')
      .click({ timeout: 5_000 })
      .catch(() => undefined);
    await says(state(), 'Live');
    await says(page.locator('.log'), /The gateway is back/);
    await expect.poll(() => button('Drain web-1').isEnabled(), WAIT).toBe(true);
  });
});

test('Ctrl-C ends the command, though a page is open', LIMIT, async () => {
  forwarder.kill('SIGINT');
  await expect.poll(() => forwarder.exitCode, WAIT).toBe(0);
});
