import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});

afterAll(() => server.stop());

/** Runs a process that starts a sync, stops it at `when`, and then has nothing more to do. @returns what it printed */
async function run(url: string, when: string): Promise<{ code: number | null; output: string; afterStopMs: number }> {
  const program = `
    import { newSync, until, untilReady } from './test/sync/harness.ts';
    const started = newSync({ url: ${JSON.stringify(url)} }, { tuning: { blockMs: 30_000, backoffMaxMs: 60_000, backoffMinMs: 60_000 } });
    started.sync.start();
    await ${when};
    await started.sync.stop();
    console.log('stopped', JSON.stringify(process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap' && name !== 'TTYWrap')));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  let stoppedMs = 0;
  child.stdout.on('data', (data) => {
    output += data;
    stoppedMs = Date.now();
  });
  const killer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(killer);
  return { code, output, afterStopMs: Date.now() - stoppedMs };
}

it.each([
  ['once it follows', 'untilReady(started)'],
  ['while it connects', 'Promise.resolve()'],
])('a process can end after a sync that is stopped %s', async (_title, when) => {
  const { code, output, afterStopMs } = await run(server.url, when);
  expect(output).toContain('stopped');
  expect(code).toBe(0);
  expect(afterStopMs).toBeLessThan(1500);
});

it('a process can end after a sync that never reached Redis', async () => {
  const { code, output, afterStopMs } = await run(
    'unix:///nonexistent/redis.sock',
    "until('failed', () => started.sync.status().lastError !== null)",
  );
  expect(output).toContain('stopped []');
  expect(code).toBe(0);
  expect(afterStopMs).toBeLessThan(1500);
});
