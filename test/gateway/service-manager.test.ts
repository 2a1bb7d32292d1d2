/** What the service manager is told: the protocol with a clock that is held, then by a whole daemon. */
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { sendToUnixSocket } from '../../src/gateway/kernel/libc.ts';
import { GATEWAY_COMMAND } from '../../src/gateway/package-files.ts';
import { ServiceManager } from '../../src/gateway/service-manager.ts';
import type { SyncState } from '../../src/sync/status.ts';
import { NotifyListener } from './support/notify-listener.ts';

/** A manager's end, and a clock that goes on when it is told to. */
class Held {
  readonly sent: string[] = [];
  readonly logged: { reason: string }[] = [];
  nowMs = 1000.0005;
  refuses: string | undefined;
  #timers: { atMs: number; callback: () => void }[] = [];

  manager(environment: Record<string, string>): ServiceManager {
    const clock = {
      monotonicMs: () => this.nowMs,
      timer: (ms: number, callback: () => void) => {
        const timer = { atMs: this.nowMs + ms, callback };
        this.#timers.push(timer);
        return () => {
          this.#timers = this.#timers.filter((other) => other !== timer);
        };
      },
    };
    const log = pino({}, { write: (line: string) => void this.logged.push(JSON.parse(line)) });
    return new ServiceManager(environment, clock, log, (socket, message) => {
      if (this.refuses !== undefined) throw new Error(this.refuses);
      expect(socket).toBe(environment['NOTIFY_SOCKET']);
      this.sent.push(message);
    });
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let i = 0; i < 1000; i++) {
      const next = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.nowMs = next.atMs;
      this.#timers = this.#timers.filter((other) => other !== next);
      next.callback();
    }
    this.nowMs = untilMs;
  }

  take(): string[] {
    return this.sent.splice(0);
  }
}

const SOCKET = '/run/systemd/notify';

describe('the protocol', () => {
  test('ready with a status, which is told again when it changes', () => {
    const held = new Held();
    let state: SyncState = 'connecting';
    const manager = held.manager({ NOTIFY_SOCKET: SOCKET });
    manager.ready(() => state);
    expect(held.take()).toEqual(['READY=1\nSTATUS=Waiting for Redis']);
    held.pass(5_000);
    expect(held.take()).toEqual([]);
    state = 'following';
    held.pass(5_000);
    expect(held.take()).toEqual(['STATUS=Following Redis']);
    manager.stopping();
    expect(held.take()).toEqual(['STOPPING=1\nSTATUS=Stopping; the kernel goes on answering']);
    state = 'resyncing';
    held.pass(5_000);
    expect(held.take()).toEqual([]);
  });

  test('the watchdog is fed at half its time, by the process that it watches', () => {
    const held = new Held();
    held
      .manager({ NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '3000000', WATCHDOG_PID: String(process.pid) })
      .ready(() => 'following');
    held.take();
    held.pass(1_499);
    expect(held.take()).toEqual([]);
    held.pass(1);
    expect(held.take()).toEqual(['WATCHDOG=1']);
    held.pass(3_000);
    expect(held.take()).toEqual(['WATCHDOG=1', 'WATCHDOG=1']);
  });

  test.each([
    { WATCHDOG_USEC: '3000000', WATCHDOG_PID: String(process.pid + 1) },
    { WATCHDOG_USEC: '0' },
    { WATCHDOG_USEC: '-1' },
    { WATCHDOG_USEC: 'soon' },
    {},
  ])('no watchdog with %o', (environment) => {
    const held = new Held();
    held.manager({ NOTIFY_SOCKET: SOCKET, ...environment }).ready(() => 'following');
    held.take();
    held.pass(60_000);
    expect(held.take()).toEqual([]);
  });

  test('a reload begins with the time and ends with ready, whatever comes of it', () => {
    const held = new Held();
    const manager = held.manager({ NOTIFY_SOCKET: SOCKET });
    manager.around(() => held.sent.push('reload'));
    expect(held.take()).toEqual(['RELOADING=1\nMONOTONIC_USEC=1000000', 'reload', 'READY=1']);
    expect(() =>
      manager.around(() => {
        throw new Error('bad file');
      }),
    ).toThrow('bad file');
    expect(held.take().at(-1)).toBe('READY=1');
  });

  test('nothing is told where nobody asks for it', () => {
    for (const environment of [{}, { NOTIFY_SOCKET: '' }, { NOTIFY_SOCKET: 'vsock:2:1234' }, { NOTIFY_SOCKET: '/' }]) {
      const held = new Held();
      const manager = held.manager({ ...environment, WATCHDOG_USEC: '3000000' });
      manager.ready(() => 'following');
      manager.around(() => undefined);
      manager.stopping();
      held.pass(60_000);
      expect(held.sent).toEqual([]);
    }
  });

  test('a manager that does not listen is logged once, until it does again', () => {
    const held = new Held();
    const manager = held.manager({ NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '2000000' });
    held.refuses = 'ECONNREFUSED';
    manager.ready(() => 'following');
    held.pass(10_000);
    expect(held.logged.map(({ reason }) => reason)).toEqual(['ECONNREFUSED']);
    held.refuses = undefined;
    held.pass(1_000);
    held.refuses = 'ECONNREFUSED';
    held.pass(10_000);
    expect(held.logged).toHaveLength(2);
  });
});

describe('datagrams', () => {
  test.each(['path', 'abstract'])('to a socket with %s name', async (kind) => {
    const folder = mkdtempSync(join(tmpdir(), 'notify-'));
    const name = kind === 'path' ? join(folder, 'notify') : `@${folder}`;
    const listener = new NotifyListener(name);
    sendToUnixSocket(name, 'READY=1\nSTATUS=größer');
    await listener.until(/^READY=1\nSTATUS=größer$/);
    listener.close();
    expect(() => sendToUnixSocket(name, 'READY=1')).toThrow(kind === 'path' ? 'ENOENT' : 'ECONNREFUSED');
    rmSync(folder, { recursive: true });
  });

  test('a name that is too long is refused', () => {
    expect(() => sendToUnixSocket(`/${'a'.repeat(107)}`, '')).toThrow('found a name of 108 bytes, allowed: 107');
  });
});

test('a daemon tells when it is ready, that it lives, that it reads its keys again, and that it stops', async () => {
  const stage = new Stage({ name: `ntfy${process.pid}`, capacity: 1_000 });
  const name = join(stage.directory, 'notify');
  const listener = new NotifyListener(name);
  try {
    stage.writeKeys([randomKey(1)]);
    const log = openSync(stage.logFile, 'a');
    const daemon = stage.network.spawn(GATEWAY_COMMAND, ['run', '-c', stage.configFile], {
      stdio: ['ignore', log, log],
      env: { ...process.env, NOTIFY_SOCKET: name, WATCHDOG_USEC: '200000' },
    });
    const exit = once(daemon, 'exit');
    try {
      // Without a Redis: what answers lookups is there all the same.
      let at = await listener.until(/^READY=1\nSTATUS=Waiting for Redis$/);
      expect(at).toBe(1);
      expect((await stage.command('status', '--json')).stdout).toContain('"ready": false');
      at = await listener.until(/^WATCHDOG=1$/, at);
      at = await listener.until(/^WATCHDOG=1$/, at);
      await stage.startRedis();
      at = await listener.until(/^STATUS=Following Redis$/, at);
      daemon.kill('SIGHUP');
      at = await listener.until(/^RELOADING=1\nMONOTONIC_USEC=\d+$/, at);
      at = await listener.until(/^READY=1$/, at);
      daemon.kill('SIGTERM');
      await listener.until(/^STOPPING=1\n/, at);
      expect(await exit).toEqual([0, null]);
    } finally {
      if (daemon.exitCode === null) daemon.kill('SIGKILL');
      await exit;
    }
  } finally {
    listener.close();
    await stage.close();
  }
});
