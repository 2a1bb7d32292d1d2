/** Many lookups at once on one socket, over real sockets: each gets its own answer, and nothing is left behind. */
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { realEnvironment } from '../../src/client/environment.ts';
import { createLookupClient } from '../../src/client/lookup-client.ts';
import { makeKey } from '../auth/support/keys.ts';
import { FakeGateway } from './fake-gateway.ts';

const KEY = makeKey();
const LOOKUPS = 1000;
/** Fits the socket buffers of any machine. */
const BURST = 50;

/** In another order, the same each time. */
function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = (i * 7919 + 31) % (i + 1);
    const moved = result[i] as T;
    result[i] = result[j] as T;
    result[j] = moved;
  }
  return result;
}

it('matches 1,000 replies that come out of order, with forgeries and repetitions between them', async () => {
  const gateway = await FakeGateway.start([KEY]);
  const answers: (() => void)[] = [];
  gateway.handle = ({ datagram, reply = new Uint8Array(), send }) => {
    const forged = reply.slice();
    forged[31] = (forged[31] ?? 0) ^ 1;
    answers.push(() => {
      send(forged);
      send(reply);
      if (answers.length % 3 === 0) send(datagram);
      send(reply);
    });
  };
  for (let i = 0; i < LOOKUPS; i++) gateway.putBackend(i + 1, '10.0.0.1', i + 1).putSession(`session ${i}`, i + 1);
  const timers = new Set<NodeJS.Timeout>();
  const environment = {
    setTimer(callback: () => void, delayMs: number) {
      const timer = realEnvironment.setTimer(() => {
        timers.delete(timer);
        callback();
      }, delayMs);
      timers.add(timer);
      return timer;
    },
    clearTimer(timer: NodeJS.Timeout) {
      timers.delete(timer);
      realEnvironment.clearTimer(timer);
    },
  };
  const client = createLookupClient({ servers: [gateway.address], key: KEY, timeoutMs: 60_000 }, environment);

  const results: ReturnType<typeof client.lookup>[] = [];
  while (results.length < LOOKUPS) {
    for (let i = 0; i < BURST; i++) results.push(client.lookup(`session ${results.length}`));
    while (answers.length < results.length) await setImmediate();
  }
  expect(client.stats().inFlight).toBe(LOOKUPS);
  expect(timers.size).toBe(LOOKUPS);
  for (const [i, answer] of shuffled(answers).entries()) {
    answer();
    if (i % (BURST / 5) === 0) await setImmediate();
  }
  for (const [i, result] of (await Promise.all(results)).entries()) {
    expect(result).toMatchObject({ status: 'FOUND', backend: i + 1, port: i + 1 });
  }
  expect(client.stats()).toMatchObject({ inFlight: 0, servers: [{ tries: LOOKUPS, replies: LOOKUPS, silent: 0 }] });
  expect(timers.size).toBe(0);
  const nonces = new Set(gateway.requests.map((request) => Buffer.from(request).toString('hex', 16, 24)));
  expect(nonces.size).toBe(LOOKUPS);
  await client.close();
  await gateway.close();
});

it('ends 1,000 lookups that nobody answers, and keeps nothing of them', async () => {
  const gateway = await FakeGateway.start([]);
  const client = createLookupClient({ servers: [gateway.address], key: KEY, timeoutMs: 50 });
  const results = await Promise.all(Array.from({ length: LOOKUPS }, (_, i) => client.lookup(`session ${i}`)));
  expect(results.every(({ status }) => status === 'UNREACHABLE')).toBe(true);
  expect(client.stats().inFlight).toBe(0);
  await client.close();
  await gateway.close();
});
