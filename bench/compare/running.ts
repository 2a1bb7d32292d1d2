/**
 * The servers that the gateway is compared with, started and filled: the same sessions, backends and key for all. May be imported by bench only.
 */
import { join } from 'node:path';
import { SKEW_MS } from '../traffic/gateway.ts';
import { backendOf, backends, RECORD_VERSION, sessionHex } from '../traffic/world.ts';
import { type State, writeState } from '../userspace/state.ts';
import type { LeftOut } from './measure.ts';
import {
  buildNative,
  fillMemcached,
  fillRedis,
  missing,
  redisUsedBytes,
  type Server,
  startMemcached,
  startModel,
  startRedis,
  startUserSpace,
} from './servers.ts';
import { BACKENDS, type Setup } from './setup.ts';

export const REDIS_PORT = 33_379;
export const MEMCACHED_PORT = 33_211;
export const USER_SPACE_PORT = 6465;
export const MODEL_PORT = 6466;

export type ServerName = 'userSpace' | 'model' | 'redis' | 'memcached';

/** Servers that run, and what each took for the sessions. */
export interface Alternatives {
  readonly servers: ReadonlyMap<ServerName, Server>;
  /** Bytes per session, by a name for people. */
  readonly memory: ReadonlyMap<string, number>;
  readonly leftOut: readonly LeftOut[];
  /** A state file with the key and no sessions, for clients. */
  readonly keyFile: string;
}

export async function startAlternatives(setup: Setup): Promise<Alternatives> {
  const { size, pair, folder, serverCpu } = setup;
  const host = pair.serverHost;
  const servers = new Map<ServerName, Server>();
  const memory = new Map<string, number>();
  const leftOut: LeftOut[] = [];
  const [state, keyFile] = [join(folder, 'state'), join(folder, 'key')];
  writeState(state, stateOf(setup, size.sessions));
  writeState(keyFile, stateOf(setup, 0));
  setup.say('alternatives: starting servers');
  const lacks = (name: string, why: string | undefined): boolean => {
    if (why !== undefined) leftOut.push({ name, why });
    return why !== undefined;
  };

  if (!lacks('user space in C, and all latencies', missing('openssl'))) {
    buildNative();
    const empty = await startUserSpace(serverCpu, keyFile, host, USER_SPACE_PORT);
    const emptyBytes = empty.residentBytes;
    await empty.stop();
    const server = await startUserSpace(serverCpu, state, host, USER_SPACE_PORT);
    servers.set('userSpace', server);
    memory.set('user space in C', (server.residentBytes - emptyBytes) / size.sessions);
  }
  servers.set('model', await startModel(serverCpu, state, host, MODEL_PORT));
  if (!lacks('Redis', missing('redis'))) {
    const server = await startRedis(serverCpu, folder, host, REDIS_PORT);
    servers.set('redis', server);
    const emptyBytes = await redisUsedBytes(host, REDIS_PORT);
    await fillRedis(host, REDIS_PORT, size.sessions);
    memory.set('Redis', ((await redisUsedBytes(host, REDIS_PORT)) - emptyBytes) / size.sessions);
  }
  if (!lacks('memcached', missing('memcached'))) {
    const server = await startMemcached(serverCpu, 64 + Math.ceil(size.sessions / 4_000), host, MEMCACHED_PORT);
    servers.set('memcached', server);
    const emptyBytes = server.residentBytes;
    await fillMemcached(host, MEMCACHED_PORT, size.sessions);
    memory.set('memcached', (server.residentBytes - emptyBytes) / size.sessions);
  }
  return { servers, memory, leftOut, keyFile };
}

function stateOf(setup: Setup, sessions: number): State {
  return {
    settings: { maxSkewMs: SKEW_MS, skewBudget: 1_000, staleAfterMs: SKEW_MS, inStepMs: Date.now() },
    keys: [setup.keys[0]],
    backends: backends(BACKENDS),
    sessionCount: sessions,
    session: (i) => ({
      hash: sessionHex(i),
      version: BigInt(RECORD_VERSION.ms) * 2n ** 20n + BigInt(RECORD_VERSION.seq),
      expiresMs: 0,
      backendId: backendOf(i, BACKENDS),
    }),
  };
}

export async function stopAlternatives({ servers }: Alternatives): Promise<void> {
  for (const server of servers.values()) await server.stop();
}
