/**
 * A real nginx with the published nginx.conf, changed only where a place needs it: its addresses, files and options. Used by
 * the demo, the tests and the benchmark, so what they show holds for what is published.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const CONF = fileURLToPath(new URL('nginx.conf', import.meta.url));
export const LUA_DIRECTORY = fileURLToPath(new URL('lua', import.meta.url));
const WAIT_MS = 20_000;

export interface NginxSettings {
  /** An existing folder for configuration, logs and pid file. */
  readonly directory: string;
  /** host:port, of this machine. */
  readonly listen: string;
  /** host:port each */
  readonly gateways: readonly string[];
  readonly keyFile: string;
  /** host:port each */
  readonly usual: readonly string[];
  /** More options of `session_gateway.new`, as Lua: `timeout_ms = 100`. */
  readonly options?: readonly string[];
  readonly cookie?: string;
  readonly transform?: string;
  /** Default 1. */
  readonly workers?: number;
  /** More folders with Lua files. */
  readonly luaDirectories?: readonly string[];
  /** Lines for the section http. */
  readonly http?: string;
  /** Lines for the server. */
  readonly server?: string;
}

/** The published configuration with this place's own values. */
export function nginxConf(settings: NginxSettings): string {
  const { directory, listen, gateways, keyFile, usual, options = [], workers = 1 } = settings;
  const { cookie = 'connect.sid', transform = 'express', http = '', server = '', luaDirectories = [] } = settings;
  const luaPath = [LUA_DIRECTORY, ...luaDirectories].map((folder) => `${join(folder, '?.lua')};`).join('');
  const changes: readonly (readonly [string, string])[] = [
    ['worker_processes auto;', `worker_processes ${workers};`],
    ['pid /run/nginx.pid;', `pid ${join(directory, 'nginx.pid')};`],
    ['error_log /var/log/nginx/error.log;', `error_log ${join(directory, 'error.log')} notice;`],
    ['"/usr/local/share/session-gateway/nginx/?.lua;;"', `"${luaPath};"`],
    ['{ "192.0.2.1:6464", "192.0.2.2:6464" }', `{ ${gateways.map((gateway) => `"${gateway}"`).join(', ')} }`],
    ['"/etc/session-gateway/nginx-keys.yaml"', `"${keyFile}"`],
    ['cookie = "connect.sid",', `cookie = "${cookie}",`],
    ['transform = "express",', [`transform = "${transform}"`, ...options, ''].join(', ')],
    ['server 10.0.0.11:8080; # <--', usual.map((address) => `server ${address};`).join(' ')],
    ['server 10.0.0.12:8080; # <--', ''],
    ['access_log /var/log/nginx/access.log sessions;', `access_log off; ${http}`],
    ['listen 80; # <--', `listen ${listen}; ${server}`],
  ];
  let text = fs.readFileSync(CONF, 'utf8');
  for (const [published, own] of changes) {
    const parts = text.split(published);
    if (parts.length !== 2) throw new Error(`${CONF}: found ${published} ${parts.length - 1} times, allowed: once`);
    text = parts.join(own);
  }
  return text;
}

export class NginxProcess {
  readonly #directory: string;
  readonly #process: ChildProcess;
  #stderr = '';

  private constructor(directory: string, child: ChildProcess) {
    this.#directory = directory;
    this.#process = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
  }

  /** Starts it and waits until its workers are there. @throws Error with what nginx says where it doesn't start */
  static async start(settings: NginxSettings): Promise<NginxProcess> {
    return NginxProcess.startWith(settings.directory, nginxConf(settings));
  }

  /** @param text of the configuration, with its files in `directory` */
  static async startWith(directory: string, text: string): Promise<NginxProcess> {
    const file = join(directory, 'nginx.conf');
    fs.writeFileSync(file, text);
    const child = spawn('nginx', ['-c', file, '-e', join(directory, 'error.log'), '-g', 'daemon off;'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const nginx = new NginxProcess(directory, child);
    const ended = once(child, 'close');
    const deadline = performance.now() + WAIT_MS;
    while (nginx.workers().length === 0) {
      if (child.exitCode !== null || performance.now() > deadline) {
        await nginx.stop();
        await ended;
        throw new Error(`nginx did not start: ${nginx.#stderr}${nginx.log()}`);
      }
      await sleep(20);
    }
    return nginx;
  }

  /** Workers that take connections: of those that a reload replaces none. */
  workers(): number[] {
    const { pid } = this.#process;
    if (pid === undefined) return [];
    const children = `/proc/${pid}/task/${pid}/children`;
    if (!fs.existsSync(children)) return [];
    const pids = fs.readFileSync(children, 'utf8').trim().split(' ').filter(Boolean).map(Number);
    return pids.filter((child) => /^nginx: worker process$/.test(title(child)));
  }

  /** Resident memory of the workers, in bytes. */
  residentBytes(): number {
    return this.workers()
      .map((pid) => /^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
      .reduce((sum, kilobytes) => sum + 1024 * Number(kilobytes), 0);
  }

  /** Descriptors that the workers have open. */
  openDescriptors(): number {
    return this.workers().reduce((sum, pid) => sum + fs.readdirSync(`/proc/${pid}/fd`).length, 0);
  }

  /**
   * As `nginx -s reload`, and waits until other workers are in the place of these, and these have ended.
   * @param settings what changes the configuration; without, the same is read again, and with it the key file
   */
  async reload(settings?: NginxSettings): Promise<void> {
    if (settings !== undefined) fs.writeFileSync(join(this.#directory, 'nginx.conf'), nginxConf(settings));
    const before = this.workers();
    this.signalReload();
    const deadline = performance.now() + WAIT_MS;
    for (;;) {
      const now = this.workers();
      if (now.some((pid) => !before.includes(pid)) && before.every((pid) => !title(pid).startsWith('nginx: '))) return;
      if (performance.now() > deadline) throw new Error(`nginx did not reload: ${this.log()}`);
      await sleep(20);
    }
  }

  signalReload(): void {
    this.#process.kill('SIGHUP');
  }

  /** The end of its error log. */
  log(): string {
    const file = join(this.#directory, 'error.log');
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').slice(-4000) : '';
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), WAIT_MS);
    await ended;
    clearTimeout(timer);
  }
}

function title(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // it has ended
  }
}
