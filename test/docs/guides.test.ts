/** Each guide is followed to the letter, by someone who starts where it says. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { follow, readDocument } from './document.ts';
import { Machines } from './machines.ts';
import { type Block, isCommands } from './markdown.ts';
import { must, prepareGateway } from './prepared.ts';

// Dozens of commands, each a process of its own.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
type Routes = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const isRun = (block: Block): boolean => isCommands(block) && block.intent.kind === 'run';

test('docs/getting-started.md, from nothing', async () => {
  const machines = await Machines.make(`docs-gs-${process.pid}`);
  try {
    expect(await follow(readDocument('docs/getting-started.md'), machines)).toBeUndefined();
  } finally {
    await machines.close();
  }
});

test('README.md, "Attach it to a real network card", in a checkout', async () => {
  const machines = await Machines.make(`docs-rm-${process.pid}`, ROOT);
  const blocks = readDocument('README.md').filter(({ section }) => section.startsWith('Attach it'));
  try {
    expect(blocks.filter(isRun).length).toBe(3);
    expect(await follow(blocks, machines)).toBeUndefined();
  } finally {
    await machines.close();
  }
});

describe('with a gateway that runs', () => {
  let machines: Machines;
  beforeAll(async () => {
    machines = await Machines.make(`docs-gu-${process.pid}`);
    await prepareGateway(machines);
  });
  afterAll(() => machines?.close());

  // Users, backends and keys go in the last ones.
  test.each([
    'docs/network-cards.md',
    'docs/troubleshooting.md',
    'docs/writing-sessions.md',
    'docs/production.md',
    'docs/control-api.md',
    'docs/upgrade.md',
    'README.md, "How users are moved"',
    'docs/moving-users.md',
    'docs/keys.md',
  ])('%s', async (title) => {
    const [name = '', part] = title.split(', ');
    const blocks = readDocument(name).filter(({ section }) => part === undefined || part === `"${section}"`);
    expect(blocks.filter(isRun).length).toBeGreaterThan(0);
    expect(await follow(blocks, machines)).toBeUndefined();
  });

  test('every route that docs/control-api.md names is in openapi.json, which its commands have fetched', async () => {
    const { paths } = JSON.parse(await must(machines, 'gateway', 'cat openapi.json')) as { paths: Routes };
    const text = readFileSync(new URL('../../docs/control-api.md', import.meta.url), 'utf8');
    const named = [...text.matchAll(/`(GET|PUT|PATCH|POST|DELETE) (\/[^`]+)`/g)];
    const unknown = named.filter(([, method = '', path = '']) => paths[path]?.[method.toLowerCase()] === undefined);
    expect(unknown.map(([route]) => route)).toEqual([]);
    expect(named.length).toBeGreaterThan(15);
  });

  test('the programs of docs/writing-sessions.md', async () => {
    const modules = `mkdir node_modules; ln -s ${ROOT}node_modules/ioredis ${ROOT}node_modules/redis node_modules/`;
    await must(machines, 'gateway', `${modules}; node ioredis.mjs; node redis.mjs; /usr/bin/python3 session.py`);
    for (const sid of ['s2', 's3', 's4']) {
      expect([sid, await must(machines, 'gateway', `redis-cli HGET sess:${sid} backend`)]).toEqual([sid, 'app-1\n']);
    }
  });
});
