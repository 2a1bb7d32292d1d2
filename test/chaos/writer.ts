/**
 * Writes to Redis without pause, a few hundred times a second, as applications do: through the function library, and now and
 * then in a MULTI of its own. It has a connection of its own, and isn't told what Redis took: Redis is the truth.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { backends, changing, FIRST_TTL_MS, NAMES, permanent, type Session } from './population.ts';
import type { Random } from './random.ts';

const TICK_MS = 20;
const WRITES_A_TICK = 8;
const IN_FLIGHT_MAX = 400;
const COMMAND_TIMEOUT_MS = 3_000;
const RECONNECT_MS = 50;
const LONG_TTL_MS: readonly [number, number] = [600_000, 7_200_000];
const SHORT_TTL_MS: readonly [number, number] = [300, 8_000];

export class Writer {
  readonly #random: Random;
  #redis: Redis;
  #timer: NodeJS.Timeout | undefined;
  readonly #inFlight = new Set<Promise<unknown>>();
  /** Since the start: written and answered, and not (Redis was away, or refused). */
  readonly counts = { written: 0, failed: 0 };

  constructor(socket: string, random: Random) {
    this.#random = random;
    this.#redis = this.#connect(socket);
  }

  #connect(socket: string): Redis {
    const redis = new Redis({
      path: socket,
      protocol: 2,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_TIMEOUT_MS,
      retryStrategy: () => RECONNECT_MS,
    });
    redis.on('error', () => undefined);
    return redis;
  }

  /** To another server, as after a fail-over. */
  redirect(socket: string): void {
    this.#redis.disconnect();
    this.#redis = this.#connect(socket);
  }

  start(): void {
    this.#timer ??= setInterval(() => {
      for (let i = 0; i < WRITES_A_TICK && this.#inFlight.size < IN_FLIGHT_MAX; i++) this.#track(this.#write());
    }, TICK_MS);
  }

  /** Resolves when nothing is under way any more. */
  async pause(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
    // What was given up here may still be on its way in the connection: it is through when this is answered.
    for (let tries = 0; tries < 100; tries++) {
      try {
        await this.#redis.ping();
        return;
      } catch {
        await sleep(RECONNECT_MS);
      }
    }
  }

  /** So many writes at once, in pipelines. */
  async burst(writes: number): Promise<void> {
    const CHUNK = 500;
    for (let done = 0; done < writes; done += CHUNK) {
      const chunk = Array.from({ length: Math.min(CHUNK, writes - done) }, () => this.#track(this.#write()));
      await Promise.all(chunk);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#redis.disconnect();
  }

  #track(write: Promise<unknown>): Promise<void> {
    const tracked = write.then(
      () => {
        this.counts.written += 1;
      },
      () => {
        this.counts.failed += 1;
      },
    );
    this.#inFlight.add(tracked);
    tracked.finally(() => this.#inFlight.delete(tracked));
    return tracked;
  }

  #write(): Promise<unknown> {
    const random = this.#random;
    const draw = random.next();
    if (draw < 0.1) return this.#touch(random.pick(permanent), FIRST_TTL_MS);
    if (draw < 0.105) return this.#patchBackend();
    const session = random.pick(changing);
    if (draw < 0.5) return this.#set(session);
    if (draw < 0.65) return this.#setByHand(session);
    if (draw < 0.75) return this.#touch(session, this.#ttlMs());
    if (draw < 0.85) return this.#move(session);
    return this.#redis.fcall('session_del', 2, key(session), NAMES.feed, session.sid);
  }

  #ttlMs(): number {
    const [min, max] = this.#random.chance(0.15) ? SHORT_TTL_MS : LONG_TTL_MS;
    return this.#random.between(min, max);
  }

  #set(session: Session): Promise<unknown> {
    const backend = this.#random.pick(session.on).name;
    return this.#redis.fcall('session_set', 2, key(session), NAMES.feed, session.sid, backend, this.#ttlMs());
  }

  #setByHand(session: Session): Promise<unknown> {
    const backend = this.#random.pick(session.on).name;
    const expires = this.#random.chance(0.1) ? 0 : Date.now() + this.#ttlMs();
    const multi = this.#redis.multi().hset(key(session), 'backend', backend);
    if (expires === 0) multi.persist(key(session));
    else multi.pexpireat(key(session), expires);
    multi.xadd(NAMES.feed, '*', 'op', 'set', 'sid', session.sid, 'backend', backend, 'expires', expires);
    return multi.exec();
  }

  #touch(session: Session, ttlMs: number): Promise<unknown> {
    return this.#redis.fcall('session_touch', 2, key(session), NAMES.feed, session.sid, ttlMs);
  }

  #move(session: Session): Promise<unknown> {
    const [from, to] = this.#random.shuffled([...session.on, ...session.on]);
    return this.#redis.fcall(
      'session_move',
      2,
      key(session),
      NAMES.feed,
      session.sid,
      from?.name ?? '',
      to?.name ?? '',
    );
  }

  #patchBackend(): Promise<unknown> {
    const { name, addresses } = this.#random.pick(backends);
    const patch = JSON.stringify({ address: this.#random.pick(addresses) });
    return this.#redis.fcall('backend_patch', 2, NAMES.backends, NAMES.feed, name, patch);
  }
}

function key({ sid }: Session): string {
  return NAMES.prefix + sid;
}
