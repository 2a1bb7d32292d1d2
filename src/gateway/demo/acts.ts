/**
 * What the demo shows, act by act. Each does a thing for real, says what came of it, and throws when it is
 * not what the product promises.
 */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { cookieHash } from '../../auth/cookie.ts';
import type { Key } from '../../auth/keyring.ts';
import { encodeLookupRequest } from '../../auth/request.ts';
import { createLookupClient, type LookupClient, type LookupResult } from '../../client/index.ts';
import { histogram, summarize } from './latency.ts';
import { GATEWAY_IPV4 } from './network.ts';
import { randomKey, type Stage } from './stage.ts';

const SESSIONS = 10_000;
const BACKENDS = ['app-1', 'app-2', 'app-3'];
const FEED = 'sessions:feed';
const HOUR_MS = 3_600_000;
const LOOKUPS = 20_000;
const FORGERIES = 2_000;
const WRITE_SEEN_TIMEOUT_MS = 2_000;
const PIPELINE = 1_000;

export interface Demo {
  stage: Stage;
  redis: Redis;
  client: LookupClient;
  say(line?: string): void;
  /** Figures for `--json`. */
  facts: Record<string, unknown>;
}

function promise(kept: boolean, what: string): void {
  if (!kept) throw new Error(`the demo fell short of what it shows: ${what}`);
}

export function clientFor(key: Key, port: number): LookupClient {
  // Generous, since a stage shares two cores with all that plays on it.
  return createLookupClient({ servers: [{ host: GATEWAY_IPV4, port }], key, timeoutMs: 1000, tryTimeoutMs: 500 });
}

export function answerText(result: LookupResult): string {
  if (result.status !== 'FOUND') return result.status;
  return `backend ${result.backend} at ${result.address}:${result.port}, for ${result.ttlSeconds} s more`;
}

function setSession(redis: Redis, sid: string, backend: string): Promise<unknown> {
  return redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, backend, HOUR_MS);
}

export async function writeSessions(redis: Redis, say: Demo['say']): Promise<void> {
  for (const [i, name] of BACKENDS.entries()) {
    const patch = JSON.stringify({ id: i + 1, address: `10.1.0.${i + 1}:8080` });
    await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, name, patch);
  }
  for (let done = 0; done < SESSIONS; done += PIPELINE) {
    const pipeline = redis.pipeline();
    for (let i = done; i < done + PIPELINE; i++) {
      pipeline.fcall(
        'session_set',
        2,
        `sess:user-${i}`,
        FEED,
        `user-${i}`,
        BACKENDS[i % BACKENDS.length] ?? '',
        HOUR_MS,
      );
    }
    await pipeline.exec();
  }
  say(
    `  wrote ${SESSIONS.toLocaleString('en')} sessions on ${BACKENDS.length} backends to Redis, with FCALL session_set`,
  );
}

/** Lookups one after the other, and what they took. */
export async function lookups({ client, say, facts }: Demo): Promise<void> {
  for (const sid of ['user-0', 'user-4711', 'nobody']) {
    say(`  ${sid.padEnd(10)} ${answerText(await client.lookup(sid))}`);
  }
  const latenciesMs: number[] = [];
  for (let i = 0; i < LOOKUPS; i++) {
    const result = await client.lookup(`user-${(i * 7919) % SESSIONS}`);
    promise(
      result.status === 'FOUND' && result.backend === (((i * 7919) % SESSIONS) % BACKENDS.length) + 1,
      `user-${i} got ${result.status}`,
    );
    latenciesMs.push(result.elapsedMs);
  }
  const summary = summarize(latenciesMs);
  facts['lookups'] = summary;
  say();
  say(
    `  ${LOOKUPS.toLocaleString('en')} lookups from Node.js, one after the other, all right; round trip as the client sees it:`,
  );
  for (const line of histogram(latenciesMs)) say(line);
  say(`  median ${summary.p50Us} µs, 99 % within ${summary.p99Us} µs: nearly all of it is the client's own stack`);
}

/** Until the answer is as wanted; returns how long after `writtenMs` that was. */
async function seen(
  client: LookupClient,
  sid: string,
  writtenMs: number,
  wanted: (result: LookupResult) => boolean,
): Promise<string> {
  while (performance.now() - writtenMs < WRITE_SEEN_TIMEOUT_MS) {
    const result = await client.lookup(sid);
    if (wanted(result)) return `${(performance.now() - writtenMs).toFixed(1)} ms later: ${answerText(result)}`;
  }
  throw new Error(`a write was not seen within ${WRITE_SEEN_TIMEOUT_MS} ms`);
}

/** Not where an unknown user would merely be placed there. */
function isOn(backend: number): (result: LookupResult) => boolean {
  return (result) => result.status === 'FOUND' && result.backend === backend;
}

export async function writes({ client, redis, say }: Demo): Promise<void> {
  let writtenMs = performance.now();
  await setSession(redis, 'alice', 'app-1');
  say(`  alice logs in on app-1     ${await seen(client, 'alice', writtenMs, isOn(1))}`);
  writtenMs = performance.now();
  await setSession(redis, 'alice', 'app-3');
  say(`  … is rewritten to app-3    ${await seen(client, 'alice', writtenMs, isOn(3))}`);
  writtenMs = performance.now();
  await redis.fcall('session_del', 2, 'sess:alice', FEED, 'alice');
  say(
    `  … and logs out             ${await seen(client, 'alice', writtenMs, (result) => result.status === 'NOT_FOUND')}`,
  );
}

/** Valid requests with one bit wrong, and noise. */
export async function forgeries({ stage, say, facts }: Demo, key: Key): Promise<void> {
  const before = await packetCounts(stage);
  const socket = createSocket('udp4');
  let answered = 0;
  socket.on('message', () => {
    answered += 1;
  });
  await new Promise<void>((resolve) => socket.connect(stage.port, GATEWAY_IPV4, resolve));
  const send = (datagram: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => socket.send(datagram, (error) => (error ? reject(error) : resolve())));
  for (let i = 0; i < FORGERIES; i++) {
    const nonce = crypto.getRandomValues(new Uint8Array(8));
    const datagram = encodeLookupRequest(key, cookieHash('user-0'), Date.now(), nonce).bytes;
    const at = i % 64;
    datagram[at] = (datagram[at] ?? 0) ^ (1 << (i % 8));
    await send(datagram);
  }
  await sleep(200);
  socket.close();
  const after = await packetCounts(stage);
  promise(answered === 0, `${answered} forged packets were answered`);
  const reasons = Object.keys(after)
    .filter((name) => name.startsWith('DROP_') && (after[name] ?? 0) > (before[name] ?? 0))
    .map(
      (name) =>
        `${(after[name] ?? 0) - (before[name] ?? 0)} ${name.slice('DROP_'.length).toLowerCase().replaceAll('_', ' ')}`,
    );
  facts['forged'] = { sent: FORGERIES, answered };
  say(`  ${FORGERIES.toLocaleString('en')} requests, each with one bit wrong: ${answered} answered`);
  say(`  dropped in the kernel by reason: ${reasons.join(', ')}`);
}

async function packetCounts(stage: Stage): Promise<Record<string, number>> {
  const status = await stage.status();
  return (status?.['packets'] ?? {}) as Record<string, number>;
}

/** A new key comes, clients change over, the old one goes, while lookups run. */
export async function rotation(demo: Demo, first: ReturnType<typeof randomKey>): Promise<void> {
  const { stage, say, facts } = demo;
  const second = randomKey(2);
  let asked = 0;
  let lost = 0;
  let running = true;
  const load = (async () => {
    while (running) {
      asked += 1;
      if ((await demo.client.lookup(`user-${asked % SESSIONS}`)).status !== 'FOUND') lost += 1;
    }
  })();
  const reload = async (): Promise<void> => {
    const { exitCode, stderr } = await stage.command('reload-keys');
    promise(exitCode === 0, `reload-keys failed: ${stderr}`);
  };
  try {
    const [, newKey] = stage.writeKeys([first, second]);
    await reload();
    const old = demo.client;
    if (newKey !== undefined) demo.client = clientFor(newKey, stage.port);
    await old.close();
    stage.writeKeys([second]);
    await reload();
    await sleep(200);
  } finally {
    running = false;
    await load;
  }
  promise(lost === 0, `${lost} of ${asked} lookups were lost while keys were rotated`);
  facts['rotation'] = { asked, lost };
  say(`  key 1 → keys 1 and 2 → key 2, with ${asked.toLocaleString('en')} lookups meanwhile: ${lost} lost`);
}

/** The daemon ends; the kernel goes on. */
export async function daemonStopped({ stage, client, say, facts }: Demo): Promise<void> {
  await stage.stopGateway();
  let answered = 0;
  let ageMs: number | null = null;
  for (let i = 0; i < 5_000; i++) {
    const result = await client.lookup(`user-${i}`);
    answered += Number(result.status === 'FOUND');
    ageMs = result.ageMs;
  }
  promise(answered === 5_000, `only ${answered} of 5,000 lookups were answered without the daemon`);
  facts['daemonStopped'] = { answered };
  say(
    `  no gateway process is running: ${answered.toLocaleString('en')} of 5,000 lookups answered all the same, by the kernel`,
  );
  say(`  each reply says how old its copy of Redis is: ${ageMs} ms by now`);
}
