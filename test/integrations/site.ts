/**
 * What every load balancer's test stands on: Redis, a real gateway, three real backends, a thousand users at home on them in
 * turn, and these users as browsers that ask the load balancer.
 */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { Redis } from 'ioredis';
import { expect } from 'vitest';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from '../e2e/until.ts';
import { type Backends, startBackends } from './backends.ts';

export const FEED = 'sessions:feed';
export const USERS = 1_000;
export const HOUR_MS = 3_600_000;
export const WAIT_MS = 60_000;
/** Of a lookup; generous, since the machine may be busy. */
export const LOOKUP_TIMEOUT_MS = 1_000;

export const homeOf = (user: number): string => `app-${1 + (user % 3)}`;
export const sidOf = (user: number): string => `user-${user}`;
/** As express writes it; whether the signature is right is the backend's affair. */
export const cookieOf = (sid: string): string => `theme=dark; connect.sid=s%3A${sid}.signature`;
export const cookieOfUser = (user: number): string => cookieOf(sidOf(user));
/** Headers of which Express takes this user's cookie, and others another one. */
export function cookiesThatExpressTakesFor(user: number): string[] {
  const value = `s%3A${sidOf(user)}.signature`;
  return [
    `connect.sid=${value}; connect.sid=x`,
    `Connect.Sid=x; connect.sid=${value}`,
    `a=1,connect.sid=x; connect.sid=${value}`,
    `a="; connect.sid=${value}`,
    `connect.sid="${value}"`,
    `connect.sid=${value}${' '.repeat(4096)}`,
    `theme=${'x'.repeat(7000)}; connect.sid=${value}`,
  ];
}

/** Redis, gateway and backends; the load balancer's host is this process's. */
export class Site {
  readonly stage: Stage;
  readonly keys = [randomKey(1), randomKey(2)] as const;
  readonly redis: Redis;
  readonly backends: Backends;
  /** host:port */
  readonly gateway: string;

  private constructor(stage: Stage, redis: Redis, backends: Backends) {
    this.stage = stage;
    this.redis = redis;
    this.backends = backends;
    this.gateway = `${GATEWAY_IPV4}:${stage.port}`;
  }

  /** The first of the keys is in force. @param name at most 40 letters, digits and hyphens */
  static async start(name: string): Promise<Site> {
    const stage = new Stage({ name, prefix: 'route:' });
    try {
      await stage.startRedis();
      const redis = new Redis({ path: stage.redisSocket, protocol: 2 });
      const site = new Site(stage, redis, await startBackends(stage.redisSocket));
      stage.writeKeys([site.keys[0]]);
      for (const [i, [backend, address]] of [...site.backends.addresses].entries()) {
        await stage.command('backend', 'set', backend, '--id', String(i + 1), '--address', address);
      }
      for (let user = 0; user < USERS; user++) await site.store(sidOf(user), homeOf(user));
      await stage.startGateway();
      return site;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async store(sid: string, backend: string): Promise<void> {
    await this.redis.fcall('session_set', 2, `route:${sid}`, FEED, sid, backend, HOUR_MS);
  }

  /** From the first key to the second, by way of both. @param reload makes the load balancer read the key file again */
  async rotateKeys(reload: () => void): Promise<void> {
    const [first, second] = this.keys;
    this.stage.writeKeys([first, second]);
    expect(await this.stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    this.stage.writeKeys([second]);
    reload();
    expect(await this.stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
  }

  async close(): Promise<void> {
    await this.backends.close();
    this.redis.disconnect();
    await this.stage.close();
  }
}

export interface Answer {
  readonly status: number | undefined;
  readonly backend: string | undefined;
}

/** Who asks a load balancer on 127.0.0.1. */
export class Users {
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(port: number) {
    this.#port = port;
  }

  /** @param cookie header, or several of them */
  async ask(cookie: string | string[]): Promise<Answer> {
    const at = { host: '127.0.0.1', port: this.#port, path: '/page' };
    // Of several Node.js would make one, were they not given name after value.
    const headers =
      typeof cookie === 'string' ? { cookie } : ['host', at.host, ...cookie.flatMap((each) => ['cookie', each])];
    const [response] = (await once(get({ ...at, agent: this.#agent, headers }), 'response')) as [IncomingMessage];
    await buffer(response);
    return { status: response.statusCode, backend: response.headers['x-backend'] as string | undefined };
  }

  /** @returns the answers to all users, in order */
  async everyone(count = USERS): Promise<Answer[]> {
    const answers: Answer[] = [];
    for (let from = 0; from < count; from += 50) {
      const users = Array.from({ length: Math.min(50, count - from) }, (_, i) => from + i);
      answers.push(...(await Promise.all(users.map((user) => this.ask(cookieOfUser(user))))));
    }
    return answers;
  }

  /** Who is balanced, since nothing is known, is at home now and then by chance: three times running by knowledge alone. */
  async untilHome(user: number): Promise<void> {
    await until(async () => {
      for (let time = 0; time < 3; time++) {
        if ((await this.ask(cookieOfUser(user))).backend !== homeOf(user)) return false;
      }
      return true;
    }, WAIT_MS);
  }

  /** Asks for all users, several at once, while `action` runs; each answer must be 200. */
  async underLoad(action: () => Promise<void>): Promise<void> {
    const wrong: unknown[] = [];
    let running = true;
    let asked = 0;
    const askOn = async (): Promise<void> => {
      while (running) {
        const cookie = cookieOfUser(asked++ % USERS);
        const answer = await this.ask(cookie).catch((error: unknown) => ({ status: String(error) }));
        if (answer.status !== 200) wrong.push(answer);
      }
    };
    const load = Promise.all([askOn(), askOn(), askOn(), askOn()]);
    try {
      await action();
    } finally {
      running = false;
      await load;
    }
    expect(wrong).toEqual([]);
    expect(asked).toBeGreaterThan(0);
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** What the hosts of the users are, in order. */
export const homes = (count = USERS): string[] => Array.from({ length: count }, (_, user) => homeOf(user));
