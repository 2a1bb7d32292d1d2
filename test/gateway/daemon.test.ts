/** The daemon as a process of its own: its signals, its log, what it does when a part can't start. */
import * as fs from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from '../e2e/until.ts';

const first = randomKey(1);
const second = randomKey(2);
const hexOf = ({ secret }: { secret: Uint8Array }) => Buffer.from(secret).toString('hex');

let stage: Stage;

beforeEach(() => {
  stage = new Stage({ name: `sgw-daemon-${process.pid}` });
  stage.writeKeys([first]);
});
afterEach(() => stage.close());

interface Line {
  level: string;
  msg: string;
  err?: { message: string };
}

function log(): Line[] {
  const text = fs.readFileSync(stage.logFile, 'utf8').trim();
  return text.split('\n').map((line) => JSON.parse(line));
}

async function keyIds(): Promise<number[]> {
  const { stdout } = await stage.command('keys', 'list', '--json');
  return (JSON.parse(stdout) as { keys: { id: number }[] }).keys.map(({ id }) => id);
}

test('SIGHUP reads the keys again, SIGTERM ends it with status 0; the log is JSON and has no secret', async () => {
  await stage.startRedis();
  await stage.startGateway();
  stage.writeKeys([first, second]);
  stage.gateway?.kill('SIGHUP');
  await until(async () => (await keyIds()).length === 2);

  // One that is refused changes nothing, and is told.
  stage.writeKeys([{ fields: first.fields, secret: second.secret }]);
  stage.gateway?.kill('SIGHUP');
  await until(async () =>
    log().some(({ level, err }) => level === 'error' && err?.message.includes('never used again')),
  );
  expect(await keyIds()).toEqual([1, 2]);

  expect(await stage.stopGateway()).toBe(0);
  expect(log().map(({ msg }) => msg)).toEqual(
    expect.arrayContaining(['starting', 'started', 'ready', 'keys in force']),
  );
  expect(log().at(-1)?.msg).toContain('stopping');
  const text = fs.readFileSync(stage.logFile, 'utf8');
  expect(text).not.toContain(hexOf(first));
  expect(text).not.toContain(hexOf(second));
  expect(fs.existsSync(join(stage.directory, 'gateway.sock'))).toBe(false);
});

test("another daemon's control socket is left alone: status 1, and what to do", async () => {
  const socket = join(stage.directory, 'gateway.sock');
  const server = await new Promise<Server>((resolve) => {
    const listening = createServer((connection) => connection.end()).listen(socket, () => resolve(listening));
  });
  const { exitCode, stderr } = await stage.command('run');
  server.close();
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/SOCKET_IN_USE: another gateway is running behind .*control\.socket/);
});

test('a Redis password is in neither log nor status', async () => {
  const config = JSON.parse(fs.readFileSync(stage.configFile, 'utf8'));
  config.redis.url = 'redis://nobody:hunter2@127.0.0.1:6379/0';
  fs.writeFileSync(stage.configFile, JSON.stringify(config));
  // This Redis has no such user.
  await stage.startRedis();
  const starting = stage.startGateway();
  starting.catch(() => undefined);
  await until(async () => (await stage.status())?.['ready'] === false);
  await until(async () => stage.logTail().includes('feed-failed'));
  const { stdout } = await stage.command('status', '--json');
  await stage.stopGateway();
  await starting.catch(() => undefined);
  expect(JSON.parse(stdout).sync.lastError.message).toMatch(/AUTH|WRONGPASS/);
  expect(stdout + fs.readFileSync(stage.logFile, 'utf8')).not.toContain('hunter2');
});

test('what the gateways tell each other, which a replica refuses, leaves the connection of the control API alone', async () => {
  await stage.startRedis();
  await stage.startGateway();
  const ask = (path: string) => askDaemon(join(stage.directory, 'gateway.sock'), { method: 'GET', path });
  const redis = new Redis({ path: stage.redisSocket });
  try {
    await ask('/v1/backends');
    const clients = async () => String(await redis.client('LIST')).split('\n');
    const mine = (await clients()).find((line) => / name=session-gateway-directory .* cmd=hgetall /.test(line));
    const id = mine?.split(' ')[0];
    expect(id).toMatch(/^id=/);
    await redis.replicaof('127.0.0.1', 1);
    await until(async () => String(((await ask('/v1/fleet')) as { problem: unknown }).problem).includes('READONLY'));
    expect((await clients()).map((line) => line.split(' ')[0])).toContain(id);
  } finally {
    redis.disconnect();
  }
});
