/**
 * Lookups without pause, by the client that load balancers use, each judged at once. Permanent sessions have one right
 * answer; changing ones have all that they ever were.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient, type LookupResult } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { changing, permanent, type Session } from './population.ts';
import type { Random } from './random.ts';

const AT_ONCE = 3;
const PAUSE_MS = 3;
const PERMANENT_SHARE = 0.6;
/** Generous, since everything shares two processors: what is looked for is an answer that never comes. */
const TIMEOUT_MS = 4_000;
const TRY_TIMEOUT_MS = 2_000;
const SAMPLES_MAX = 5;

/** What an answer may be while a fault makes it right. */
export type Allowance =
  /** None: no program is attached. */
  | 'silence'
  /** NOT_FOUND for a permanent session: Redis has lost it, or its backend. */
  | 'absence'
  /** CLOCK_SKEW: the kernel was given a wrong clock. */
  | 'skew';

export interface LookupCounts {
  asked: number;
  unanswered: number;
  wrong: number;
  /** What was wrong with the first few. */
  samples: string[];
}

export class Lookups {
  readonly #client: LookupClient;
  readonly #random: Random;
  readonly #allowed = new Map<Allowance, { active: number; endedMs: number }>();
  #running = false;
  #loops: Promise<unknown> = Promise.resolve();
  #counts: LookupCounts = { asked: 0, unanswered: 0, wrong: 0, samples: [] };

  constructor(key: Key, port: number, random: Random) {
    this.#client = createLookupClient({
      servers: [{ host: GATEWAY_IPV4, port }],
      key,
      timeoutMs: TIMEOUT_MS,
      tryTimeoutMs: TRY_TIMEOUT_MS,
    });
    this.#random = random;
  }

  start(): void {
    this.#running = true;
    this.#loops = Promise.all(Array.from({ length: AT_ONCE }, () => this.#loop()));
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loops;
    await this.#client.close();
  }

  /** Whether a lookup of now gets an answer, of any kind; it isn't counted. */
  async isAnswered(): Promise<boolean> {
    return (await this.#client.lookup('nobody')).status !== 'UNREACHABLE';
  }

  /** The counts since the last call. */
  takeCounts(): LookupCounts {
    const counts = this.#counts;
    this.#counts = { asked: 0, unanswered: 0, wrong: 0, samples: [] };
    return counts;
  }

  /** Until what is returned is called, and for lookups that were under way then. */
  allow(what: Allowance): () => void {
    const state = this.#allowed.get(what) ?? { active: 0, endedMs: Number.NEGATIVE_INFINITY };
    this.#allowed.set(what, state);
    state.active += 1;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      state.active -= 1;
      state.endedMs = performance.now();
    };
  }

  #isAllowed(what: Allowance, askedMs: number): boolean {
    const state = this.#allowed.get(what);
    return state !== undefined && (state.active > 0 || state.endedMs >= askedMs);
  }

  async #loop(): Promise<void> {
    while (this.#running) {
      const session = this.#random.pick(this.#random.chance(PERMANENT_SHARE) ? permanent : changing);
      const askedMs = performance.now();
      const result = await this.#client.lookup(session.sid);
      this.#judge(session, result, askedMs);
      await sleep(PAUSE_MS);
    }
  }

  #judge(session: Session, result: LookupResult, askedMs: number): void {
    const counts = this.#counts;
    counts.asked += 1;
    const found = describe(session, result);
    if (found === null || found.unless.some((allowance) => this.#isAllowed(allowance, askedMs))) return;
    counts[found.is] += 1;
    if (counts.samples.length === SAMPLES_MAX) return;
    const allowed = session.on.map(({ id }) => `backend ${id}`).join(' or ');
    counts.samples.push(`${session.sid}: found ${found.what}, allowed: ${allowed}`);
  }
}

/** What is not right about an answer, and what would make it right; null = nothing. */
function describe(
  { on, changes }: Session,
  result: LookupResult,
): { is: 'unanswered' | 'wrong'; what: string; unless: readonly Allowance[] } | null {
  switch (result.status) {
    case 'FOUND': {
      const address = `${result.address}:${result.port}`;
      if (on.find(({ id }) => id === result.backend)?.addresses.includes(address)) return null;
      return { is: 'wrong', what: `backend ${result.backend} at ${address}`, unless: [] };
    }
    case 'NOT_FOUND':
      return changes ? null : { is: 'wrong', what: result.status, unless: ['absence'] };
    case 'UNREACHABLE': {
      const what = `${result.reason} after ${Math.round(result.elapsedMs)} ms`;
      return { is: 'unanswered', what, unless: ['silence'] };
    }
    case 'CLOCK_SKEW':
      return { is: 'wrong', what: result.status, unless: ['skew'] };
    default:
      return { is: 'wrong', what: result.status, unless: [] };
  }
}
