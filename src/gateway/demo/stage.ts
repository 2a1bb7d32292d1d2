/**
 * The whole product on one machine: two hosts, a Redis, a gateway run by its own command, with a
 * configuration and keys in a folder that goes away with it. The demo plays on it, and so do the end-to-end tests.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Key, type KeyFields } from '../../auth/keyring.ts';
import { askDaemon } from '../control/client.ts';
import { detachAll } from '../kernel/datapath.ts';
import { GATEWAY_COMMAND } from '../package-files.ts';
import { TwoHosts } from './network.ts';
import { endProcess, RedisServer } from './redis-server.ts';

const REDIS_PORT = 6379;
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5_000;
const COMMAND_TIMEOUT_MS = 20_000;

export interface StageOptions {
  /** Tells this stage from others on the machine. */
  name: string;
  capacity?: number;
  /** Lines that go into the configuration's section `listen`. */
  listen?: Record<string, unknown>;
  /** The configuration's `sessions.prefix`. */
  prefix?: string;
  /** The configuration's `sessions.backend`. */
  backend?: Record<string, unknown>;
  /** The configuration's `sessions.onMiss`. */
  onMiss?: 'answer' | 'ask-redis';
  /** The configuration's section `feed`. */
  feed?: Record<string, unknown>;
  redisArguments?: readonly string[];
  /** The command that is run: that of another version, for an upgrade. */
  command?: string | undefined;
  /** How long the first load may take. */
  readyTimeoutMs?: number;
}

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export class Stage {
  readonly directory: string;
  readonly pins: string;
  readonly port = 6464;
  readonly configFile: string;
  readonly keyFile: string;
  readonly logFile: string;
  readonly network: TwoHosts;
  #options: StageOptions;
  #redis: RedisServer | undefined;
  #gateway: ChildProcess | undefined;

  constructor(options: StageOptions) {
    this.#options = options;
    this.directory = fs.mkdtempSync(join(tmpdir(), `${options.name}-`));
    this.pins = `/sys/fs/bpf/${options.name}`;
    this.configFile = join(this.directory, 'gateway.yaml');
    this.keyFile = join(this.directory, 'keys.yaml');
    this.logFile = join(this.directory, 'gateway.log');
    this.network = new TwoHosts(options.name);
    this.writeConfig();
  }

  /** @param change to the options, for the next start */
  writeConfig(change: Partial<StageOptions> = {}): void {
    this.#options = { ...this.#options, ...change };
    const listen = {
      interfaces: [this.network.gatewayInterface],
      port: this.port,
      ...this.#options.listen,
    };
    const config = {
      listen,
      pins: this.pins,
      keys: 'keys.yaml',
      redis: { url: `redis://127.0.0.1:${REDIS_PORT}/0` },
      sessions: {
        prefix: this.#options.prefix ?? 'sess:',
        capacity: this.#options.capacity ?? 100_000,
        backend: this.#options.backend ?? { in: 'hash' },
        onMiss: this.#options.onMiss ?? 'answer',
      },
      feed: { ...this.#options.feed },
      control: { socket: join(this.directory, 'gateway.sock') },
    };
    fs.writeFileSync(this.configFile, JSON.stringify(config, null, 2)); // JSON is YAML
  }

  /** @returns the keys, for a client */
  writeKeys(keys: readonly { fields: KeyFields; secret: Uint8Array }[]): Key[] {
    const lines = keys.map(
      ({ fields, secret }) =>
        `  - { id: ${fields.id}, name: ${fields.name}, suite: ${fields.suite}, encrypt: ${fields.encrypt}, secret: "${Buffer.from(secret).toString('hex')}" }`,
    );
    fs.writeFileSync(this.keyFile, `keys:\n${lines.join('\n')}\n`, { mode: 0o600 });
    return keys.map(({ fields, secret }) => new Key(fields, secret));
  }

  get redisSocket(): string {
    if (this.#redis === undefined) throw new Error('the stage has no Redis yet');
    return this.#redis.socket;
  }

  get redis(): RedisServer | undefined {
    return this.#redis;
  }

  async startRedis(): Promise<void> {
    this.#redis = await RedisServer.start(
      (command, args) => this.network.spawn(command, args, { stdio: 'ignore' }),
      this.directory,
      REDIS_PORT,
      this.#options.redisArguments,
    );
  }

  async stopRedis(): Promise<void> {
    await this.#redis?.stop();
    this.#redis = undefined;
  }

  get gateway(): ChildProcess | undefined {
    return this.#gateway;
  }

  /** Starts the daemon; the promise settles when its first load is in, or it has ended, or that takes too long. */
  async startGateway(): Promise<void> {
    const log = fs.openSync(this.logFile, 'a');
    const child = this.network.spawn(this.#options.command ?? GATEWAY_COMMAND, ['run', '-c', this.configFile], {
      stdio: ['ignore', log, log],
    });
    fs.closeSync(log);
    this.#gateway = child;
    const timeoutMs = this.#options.readyTimeoutMs ?? READY_TIMEOUT_MS;
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(
          `the gateway ended with ${child.signalCode ?? `exit status ${child.exitCode}`}:\n${this.logTail()}`,
        );
      if (await this.#isReady()) return;
      await sleep(50);
    }
    throw new Error(`the gateway was not ready within ${timeoutMs} ms:\n${this.logTail()}`);
  }

  /** Asked without a process of its own, which would take a processor from the one that loads. */
  async #isReady(): Promise<boolean> {
    try {
      const status = await askDaemon(join(this.directory, 'gateway.sock'), { method: 'GET', path: '/v1/status' });
      return (status as { ready: boolean }).ready;
    } catch {
      return false;
    }
  }

  async stopGateway(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const child = this.#gateway;
    if (child === undefined) return null;
    if (signal === 'SIGKILL') child.kill('SIGKILL');
    await endProcess(child, STOP_TIMEOUT_MS);
    this.#gateway = undefined;
    return child.exitCode;
  }

  /** `gateway status --json`; undefined while no daemon answers. */
  async status(): Promise<Record<string, unknown> | undefined> {
    const { exitCode, stdout } = await this.command('status', '--json');
    return exitCode === 0 ? JSON.parse(stdout) : undefined;
  }

  /** Runs a command of the gateway's on its host. */
  async command(...args: string[]): Promise<CommandResult> {
    const nsenter = [
      `--net=/run/netns/${this.network.gatewayNamespace}`,
      this.#options.command ?? GATEWAY_COMMAND,
      ...args,
      '-c',
      this.configFile,
    ];
    try {
      const { stdout, stderr } = await promisify(execFile)('nsenter', nsenter, { timeout: COMMAND_TIMEOUT_MS });
      return { exitCode: 0, stdout, stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string };
      if (typeof code !== 'number') throw error;
      return { exitCode: code, stdout: stdout ?? '', stderr: stderr ?? '' };
    }
  }

  logTail(): string {
    return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8').slice(-2000) : '';
  }

  /** Ends what runs and leaves nothing behind. */
  async close(): Promise<void> {
    await this.stopGateway();
    await this.stopRedis();
    detachAll(this.pins);
    this.network.close();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A key with a secret of its own. */
export function randomKey(id: number): { fields: KeyFields; secret: Uint8Array } {
  const fields: KeyFields = {
    id,
    name: `key-${id}`,
    suite: 'hmac-sha256',
    encrypt: false,
    notBeforeMs: null,
    notAfterMs: null,
  };
  return { fields, secret: randomBytes(32) };
}
