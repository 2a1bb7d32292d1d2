/** Server-sent events over a real socket: what readers are told, and what slow, gone and too many readers cost. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CONNECTION_LIMITS } from '../../../src/gateway/control/connections.ts';
import { EVENT_LIMITS, type EventLimits } from '../../../src/gateway/control/event-stream.ts';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import type { Status } from '../../../src/gateway/ports.ts';
import { FakeGateway, fakeStatus } from './fake-gateway.ts';

const WAIT = { timeout: 60_000 };

let folder: string;
let gateway: FakeGateway;
let server: ControlServer | undefined;
let open: IncomingMessage[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'events-'));
  gateway = new FakeGateway();
  open = [];
});
afterEach(async () => {
  for (const response of open) response.destroy();
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true });
});

const socketPath = () => join(folder, 'gateway.sock');

async function serve(limits: Partial<EventLimits> = {}): Promise<void> {
  server = await startControl(socketPath(), gateway, createLogger('fatal'), {
    events: { ...EVENT_LIMITS, ...limits },
    // What has an end is cut after this; events have none.
    limits: { ...CONNECTION_LIMITS, exchangeTimeoutMs: 100 },
  });
}

function read(path = '/v1/events'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socketPath(), path, agent: false }, (response) => {
      response.on('error', () => undefined);
      open.push(response);
      resolve(response);
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** Collects; the text so far. */
function collect(response: IncomingMessage): () => string {
  let text = '';
  response.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  return () => text;
}

const FACT = { type: 'fact', nameHash: 'ab'.repeat(16), hex: '31' } as const;

test('what happens is told as it happens, and for longer than an exchange may take', async () => {
  await serve({ beatMs: 50 });
  const response = await read();
  expect(response.headers).toMatchObject({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const text = collect(response);
  gateway.publish(FACT);
  await expect.poll(text, WAIT).toContain(`event: fact\ndata: {"nameHash":"${'ab'.repeat(16)}","hex":"31"}\n\n`);
  // Beats go on past the 100 ms that an exchange has.
  await expect.poll(() => text().split('\n:\n').length, WAIT).toBeGreaterThan(5);
  gateway.publish({ type: 'denied', changes: 3 });
  await expect.poll(text, WAIT).toContain('event: denied\ndata: {"changes":3}\n\n');
});

test('who asks for them is given figures again and again, and nothing that the schema does not name', async () => {
  await serve({ statsEveryMs: 20 });
  gateway.now = { ...fakeStatus(), secret: 'SENTINEL' } as Status;
  const [asking, other] = [collect(await read('/v1/events?stats=true')), collect(await read('/v1/events?stats=false'))];
  await expect.poll(() => asking().split('event: stats\n').length, WAIT).toBeGreaterThan(3);
  const [, json = ''] = /event: stats\ndata: (.*)\n\n/.exec(asking()) ?? [];
  expect(JSON.parse(json)).toEqual({ ...gateway.stats(), status: fakeStatus() });
  gateway.publish(FACT);
  await expect.poll(other, WAIT).toContain('event: fact\n');
  expect(asking()).toContain('event: fact\n');
  expect(other()).not.toContain('event: stats\n');
});

test('figures that can’t be had this time come the next time', async () => {
  await serve({ statsEveryMs: 20 });
  const { stats } = gateway;
  let failures = 0;
  gateway.stats = () => {
    failures += 1;
    if (failures < 3) throw new Error('the map is away');
    return stats.call(gateway);
  };
  const text = collect(await read('/v1/events?stats=true'));
  await expect.poll(text, WAIT).toContain('event: stats\n');
  expect(failures).toBeGreaterThanOrEqual(3);
});

test('figures that a slow reader has no room for are left out in silence', async () => {
  await serve({ statsEveryMs: 1, queueMaxBytes: 1_000, beatMs: 50, idleBeatsMax: 1_000 });
  const response = await read('/v1/events?stats=true');
  let made = 0;
  const { stats } = gateway;
  gateway.stats = () => {
    made += 1;
    return stats.call(gateway);
  };
  // More than the socket's own buffers hold.
  await expect.poll(() => made, WAIT).toBeGreaterThan(2_000);
  const text = collect(response);
  const before = made;
  await expect.poll(() => made, WAIT).toBeGreaterThan(before + 100);
  response.destroy();
  expect(text()).toContain('event: stats\n');
  expect(text()).not.toContain('event: lost\n');
  await expect.poll(() => gateway.readers.size, WAIT).toBe(0);
  const last = made;
  await read();
  expect(made).toBe(last);
});

test('a reader that is gone is forgotten', async () => {
  await serve();
  const response = await read();
  await expect.poll(() => gateway.readers.size, WAIT).toBe(1);
  response.destroy();
  await expect.poll(() => gateway.readers.size, WAIT).toBe(0);
});

test('a reader that is too slow loses events, is told how many, and costs no more than its queue', async () => {
  await serve({ queueMaxBytes: 1_000, beatMs: 50, idleBeatsMax: 1_000 });
  const response = await read();
  await expect.poll(() => gateway.readers.size, WAIT).toBe(1);
  const sent = 20_000;
  for (let i = 0; i < sent; i++) gateway.publish(FACT);
  const text = collect(response);
  await expect.poll(text, WAIT).toContain('event: lost\n');
  const lost = Number(/event: lost\ndata: \{"events":(\d+)\}/.exec(text())?.[1]);
  expect(text().split('event: fact\n').length - 1 + lost).toBe(sent);
  expect(lost).toBeGreaterThan(sent / 2);
});

test('a reader that takes nothing is cut', async () => {
  await serve({ queueMaxBytes: 10_000_000, beatMs: 20, idleBeatsMax: 2 });
  await read();
  await expect.poll(() => gateway.readers.size, WAIT).toBe(1);
  // More than the socket's own buffers hold.
  for (let i = 0; i < 50_000; i++) gateway.publish(FACT);
  await expect.poll(() => gateway.readers.size, WAIT).toBe(0);
});

test('no more readers than may be, and a place that is given up is free', async () => {
  await serve({ readersMax: 2 });
  const [first] = [await read(), await read()];
  const refused = await read();
  expect(refused.statusCode).toBe(503);
  const text = collect(refused);
  await expect.poll(text, WAIT).toContain('"code":"EVENTS_BUSY"');
  first.destroy();
  await expect.poll(() => gateway.readers.size, WAIT).toBe(1);
  expect((await read()).statusCode).toBe(200);
});

test('the daemon ends though there are readers', async () => {
  await serve();
  const response = await read();
  const ended = new Promise((resolve) => response.once('close', resolve));
  await server?.close();
  server = undefined;
  await ended;
  expect(gateway.readers.size).toBe(0);
});
