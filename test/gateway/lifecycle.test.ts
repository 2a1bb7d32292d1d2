import { EventEmitter } from 'node:events';
import { beforeEach, expect, test } from 'vitest';
import { runUntilEnded, type Stop } from '../../src/gateway/lifecycle.ts';
import { createLogger } from '../../src/gateway/log.ts';

const STOP_TIMEOUT_MS = 50;

let events: EventEmitter;
let lines: { level: string; msg: string; err?: { message: string; cause?: { message: string } } }[];
let stopped: string[];

const log = createLogger('info', { write: (line) => lines.push(JSON.parse(line)) });
const part = (name: string) => () => {
  stopped.push(name);
};

beforeEach(() => {
  events = new EventEmitter();
  lines = [];
  stopped = [];
});

function run(...parts: Stop[]): Promise<number> {
  const start = async (stops: Stop[]) => {
    stops.push(...parts);
  };
  return runUntilEnded(start, log, events, STOP_TIMEOUT_MS);
}

test.each(['SIGTERM', 'SIGINT'])('%s stops the parts in the other order: status 0', async (signal) => {
  const running = run(part('kernel'), part('sync'), part('control'));
  events.emit(signal, signal);
  expect(await running).toBe(0);
  expect(stopped).toEqual(['control', 'sync', 'kernel']);
  expect(events.eventNames()).toEqual([]);
});

test.each([
  ['uncaughtException', new Error('boom')],
  ['unhandledRejection', 'boom'],
])('%s: everything is stopped, status 1, and the reason is logged', async (event, thrown) => {
  const running = run(part('kernel'), part('sync'));
  events.emit(event, thrown);
  expect(await running).toBe(1);
  expect(stopped).toEqual(['sync', 'kernel']);
  expect(lines.at(-1)).toMatchObject({
    level: 'fatal',
    msg: expect.stringContaining('boom'),
    err: { cause: { message: 'boom' } },
  });
});

test('a signal during the start ends it after the start', async () => {
  const running = runUntilEnded(
    async (stops) => {
      stops.push(part('kernel'));
      events.emit('SIGTERM', 'SIGTERM');
      await Promise.resolve();
      stops.push(part('sync'));
    },
    log,
    events,
  );
  expect(await running).toBe(0);
  expect(stopped).toEqual(['sync', 'kernel']);
});

test('a start that fails: what was started is stopped, and the error goes on', async () => {
  const failed = new Error('no such interface');
  const running = runUntilEnded(
    async (stops) => {
      stops.push(part('kernel'));
      throw failed;
    },
    log,
    events,
  );
  await expect(running).rejects.toBe(failed);
  expect(stopped).toEqual(['kernel']);
});

test('a part that does not stop: the others are, status 1', async () => {
  const running = run(part('kernel'), () => Promise.reject(new Error('stuck')), part('control'));
  events.emit('SIGTERM', 'SIGTERM');
  expect(await running).toBe(1);
  expect(stopped).toEqual(['control', 'kernel']);
  expect(lines.at(-1)).toMatchObject({ level: 'error', err: { message: 'stuck' } });
});

test('a part that takes too long to stop is not waited for: status 1', async () => {
  const running = run(part('kernel'), () => new Promise<void>(() => undefined));
  events.emit('SIGTERM', 'SIGTERM');
  expect(await running).toBe(1);
  expect(lines.at(-1)?.msg).toContain('did not stop in time');
});

test('a second signal is left to its default', async () => {
  const running = run(() => {
    expect(events.listenerCount('SIGTERM')).toBe(0);
  });
  events.emit('SIGTERM', 'SIGTERM');
  expect(await running).toBe(0);
});
