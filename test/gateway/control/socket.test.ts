import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listenOn } from '../../../src/gateway/control/socket.ts';

let folder: string;
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'socket-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  rmSync(folder, { recursive: true });
});

function listen(path: string): Promise<Server> {
  const server = createServer((connection) => connection.end());
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

/** A socket file whose owner is gone without removing it. */
async function leaveStale(path: string): Promise<void> {
  await listenOn(path, listen);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  expect(statSync(path).isSocket()).toBe(true);
}

test('mode 0660, whatever the umask, and nothing beside it', async () => {
  const before = process.umask(0);
  try {
    await listenOn(join(folder, 'g.sock'), listen);
  } finally {
    process.umask(before);
  }
  expect(statSync(join(folder, 'g.sock')).mode & 0o7777).toBe(0o660);
  expect(readdirSync(folder)).toEqual(['g.sock']);
});

test('folders that are missing are made, and only their owner may write to them', async () => {
  const before = process.umask(0);
  try {
    await listenOn(join(folder, 'a', 'b', 'g.sock'), listen);
  } finally {
    process.umask(before);
  }
  expect(statSync(join(folder, 'a', 'b', 'g.sock')).isSocket()).toBe(true);
  for (const made of ['a', 'a/b']) expect(statSync(join(folder, made)).mode & 0o7777).toBe(0o755);
});

test('nothing is written beside the folder, which may be all that the daemon may write to', async () => {
  const own = join(folder, 'own');
  mkdirSync(own);
  const others = readdirSync(folder);
  const seen = new Set<string>();
  await listenOn(join(own, 'g.sock'), (path) => {
    for (const name of readdirSync(folder)) seen.add(name);
    expect(dirname(dirname(path))).toBe(own);
    return listen(path);
  });
  expect([...seen]).toEqual(others);
});

test("a dead daemon's socket is replaced", async () => {
  const path = join(folder, 'g.sock');
  await leaveStale(path);
  await listenOn(path, listen);
  await expect(listenOn(path, listen)).rejects.toMatchObject({ code: 'SOCKET_IN_USE' });
});

test("a live daemon's socket is refused, and goes on", async () => {
  const path = join(folder, 'g.sock');
  await listenOn(path, listen);
  const { ino } = statSync(path);
  await expect(listenOn(path, listen)).rejects.toMatchObject({ code: 'SOCKET_IN_USE', exitStatus: 1 });
  expect(statSync(path).ino).toBe(ino);
});

test('what is not a socket is left alone', async () => {
  const path = join(folder, 'g.sock');
  writeFileSync(path, 'mine');
  await expect(listenOn(path, listen)).rejects.toMatchObject({ code: 'SOCKET_UNUSABLE' });
  expect(statSync(path).isFile()).toBe(true);
  mkdirSync(join(folder, 'd.sock'));
  await expect(listenOn(join(folder, 'd.sock'), listen)).rejects.toMatchObject({ code: 'SOCKET_UNUSABLE' });
});

test('a path that is too long, or in a file', async () => {
  await expect(listenOn(join(folder, 'x'.repeat(120)), listen)).rejects.toMatchObject({ code: 'SOCKET_UNUSABLE' });
  writeFileSync(join(folder, 'file'), '');
  await expect(listenOn(join(folder, 'file', 'g.sock'), listen)).rejects.toMatchObject({ code: 'SOCKET_UNUSABLE' });
  expect(readdirSync(folder)).toEqual(['file']);
});

test('a folder that nobody can make', async () => {
  await expect(listenOn('/proc/nowhere/deep/g.sock', listen)).rejects.toMatchObject({ code: 'SOCKET_UNUSABLE' });
});

test("removal takes the own socket, and not a successor's", async () => {
  const path = join(folder, 'g.sock');
  const remove = await listenOn(path, listen);
  remove();
  expect(readdirSync(folder)).toEqual([]);
  await leaveStale(path);
  const removeOther = await listenOn(path, listen);
  remove();
  expect(statSync(path).isSocket()).toBe(true);
  removeOther();
  expect(readdirSync(folder)).toEqual([]);
});
