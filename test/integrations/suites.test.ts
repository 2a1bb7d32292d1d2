/**
 * Each suite, encrypted and not, by each integration, asking a real gateway over real packets: nginx, HAProxy's agent, the C
 * tool and the Node.js client with the same key file.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startAgent } from '../../integrations/haproxy/processes.ts';
import { type BackendServer, startBackend } from '../../integrations/nginx/backend-server.ts';
import { NginxProcess } from '../../integrations/nginx/nginx-process.ts';
import { createLookupClient, readKey } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { Stage } from '../../src/gateway/demo/stage.ts';
import { agentFrames, hello, notify } from '../gateway/spoe/haproxy.ts';
import { counted, NGINX, PATIENT, servedBy, writeKeyFile } from './nginx/host.ts';

const C_FOLDER = fileURLToPath(new URL('../../integrations/c', import.meta.url));
const FEED = 'sessions:feed';
const AGENT_PORT = 35_191;
const TIMEOUT_MS = 10_000;
const KINDS = [
  ['hmac-sha256', false],
  ['hmac-sha256', true],
  ['blake2s', false],
  ['blake2s', true],
] as const;
const KEYS = KINDS.map(([suite, encrypt], i) => {
  const fields = { id: i + 1, name: `key-${i + 1}`, suite, encrypt, notBeforeMs: null, notAfterMs: null };
  return { fields, secret: randomBytes(32) };
});

let stage: Stage;
let redis: Redis;
let gateway: string;
let tool: string;
const backends: BackendServer[] = [];

beforeAll(async () => {
  stage = new Stage({ name: `ca-su-${process.pid}` });
  gateway = `${GATEWAY_IPV4}:${stage.port}`;
  writeKeyFile(stage.keyFile, KEYS);
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  for (const id of [1, 2]) {
    backends.push(await startBackend(`app-${id}`, `127.0.1.${id}`, 8080));
    await stage.command('backend', 'set', `app-${id}`, '--id', String(id), '--address', `127.0.1.${id}:8080`);
  }
  for (const [sid, backend] of [
    ['alice', 'app-1'],
    ['bob', 'app-2'],
  ] as const) {
    await redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, backend, 3_600_000);
  }
  await stage.startGateway();
  tool = join(stage.directory, 'sgw-lookup');
  const sources = ['session_gateway.c', 'sgw-lookup.c'].map((file) => join(C_FOLDER, file));
  execFileSync('clang-19', ['-O1', '-std=gnu11', '-I', C_FOLDER, ...sources, '-o', tool, '-lcrypto']);
});

afterAll(async () => {
  for (const backend of backends) await backend.close();
  redis?.disconnect();
  await stage?.close();
});

describe.each(KINDS.map(([suite, encrypt], i) => ({ suite, encrypt, i })))('$suite, encrypted: $encrypt', ({ i }) => {
  const { fields, secret } = KEYS[i] as (typeof KEYS)[number];
  const id = fields.id;

  test('nginx', async () => {
    const { directory, keyFile } = stage;
    const options = [PATIENT, `key = ${id}`];
    const nginx = await NginxProcess.start({
      ...{ directory, listen: NGINX, gateways: [gateway], keyFile },
      ...{ usual: ['127.0.1.9:8080'], options },
    });
    try {
      expect([await servedBy('alice'), await servedBy('bob')]).toEqual(['app-1', 'app-2']);
      expect(await counted('requests', 'ignored')).toEqual({ 'requests_total{outcome="found"}': 2 });
    } finally {
      await nginx.stop();
    }
  });

  test('HAProxy’s agent', async () => {
    const { directory, keyFile } = stage;
    const settings = { directory, port: AGENT_PORT, gateways: [gateway], timeoutMs: TIMEOUT_MS };
    const agent = await startAgent({ ...settings, keyFile, key: id });
    const socket = connect(AGENT_PORT, '127.0.0.1');
    try {
      const asked = [
        notify(1, { cookies: 'connect.sid=s%3Aalice.x' }),
        notify(2, { cookies: 'connect.sid=s%3Abob.x' }),
      ];
      socket.write(Buffer.concat([hello(), ...asked]));
      let held = Buffer.alloc(0);
      while (agentFrames(held).length < 3) held = Buffer.concat([held, ...(await once(socket, 'data'))]);
      const answers = agentFrames(held).filter(({ type }) => type === 103);
      const said = answers.toSorted((a, b) => Number(a.streamId - b.streamId)).map(({ values }) => values);
      expect(said).toMatchObject([
        { status: 'FOUND', address: '127.0.1.1:8080' },
        { status: 'FOUND', address: '127.0.1.2:8080' },
      ]);
    } finally {
      socket.destroy();
      await agent.stop();
    }
  });

  test('C', () => {
    const keyFile = join(stage.directory, `${id}.key`);
    const words = [id, fields.suite, secret.toString('hex'), ...(fields.encrypt ? ['encrypt'] : [])];
    fs.writeFileSync(keyFile, `${words.join(' ')}\n`, { mode: 0o600 });
    const ask = (sid: string) =>
      execFileSync(tool, ['--key-file', keyFile, '--timeout', String(TIMEOUT_MS), '--server', gateway, sid], {
        encoding: 'utf8',
      });
    expect(ask('alice')).toMatch(/^FOUND backend=1 address=127\.0\.1\.1:8080 /);
    expect(ask('bob')).toMatch(/^FOUND backend=2 address=127\.0\.1\.2:8080 /);
  });

  test('Node.js', async () => {
    const servers = [{ host: GATEWAY_IPV4, port: stage.port }];
    const key = await readKey(stage.keyFile, id);
    const client = createLookupClient({ servers, key, timeoutMs: TIMEOUT_MS, tryTimeoutMs: TIMEOUT_MS });
    try {
      expect(await client.lookup('alice')).toMatchObject({ status: 'FOUND', address: '127.0.1.1', port: 8080 });
      expect(await client.lookup('bob')).toMatchObject({ status: 'FOUND', address: '127.0.1.2', port: 8080 });
    } finally {
      await client.close();
    }
  });
});
