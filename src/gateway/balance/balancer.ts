/**
 * `gateway balance` behind its command line: reads backends and loads, plans, and carries plans out, once or again and again.
 * May be imported by src/gateway only.
 */

import { type Runtime, sleep } from '../../sync/runtime.ts';
import type { SessionsOptions } from '../../sync/snapshot/pages.ts';
import { failure, GatewayError } from '../errors.ts';
import type { BackendList, BackendRecord, BackendViews, Directory } from '../ports.ts';
import type { Crowd } from './crowd.ts';
import { loadText } from './load-text.ts';
import { type LoadSource, lookupCrowds, type Reports, reportedCrowds, storedCrowds } from './loads.ts';
import { type Standby, underLock, type WithRedis } from './lock.ts';
import { type BackendChange, type Plan, type PlanOptions, planBalance } from './plan.ts';
import { type Targets, targetsOf } from './targets.ts';

/** How long the lock lasts without being renewed. */
const LOCK_MS = 15_000;

export interface BalancerParts {
  readonly directory: Pick<Directory, 'backends' | 'patchBackend'>;
  readonly withRedis: WithRedis;
  readonly sessions: SessionsOptions;
  /** Prefix of the tables. */
  readonly names: string;
  /** What the daemon on this machine says of the backends. */
  readonly views: () => Promise<BackendViews>;
  readonly runtime: Runtime;
}

export interface BalancerOptions extends PlanOptions {
  readonly by: LoadSource;
  readonly targets: Targets;
}

export interface Round {
  readonly plan: Plan;
  /** As they were when the plan was made. */
  readonly backends: readonly BackendRecord[];
  /** Entries that are wrong; they are left out of the ring and of the plan. */
  readonly faults: BackendList['faults'];
}

export class Balancer {
  readonly #parts: BalancerParts;
  readonly #options: BalancerOptions;
  /** From one round to the next. */
  readonly #reports: Reports = new Map();

  constructor(parts: BalancerParts, options: BalancerOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Reads and plans; changes nothing. @throws GatewayError USAGE_INVALID, BALANCE_LOADS_MISSING, REDIS_… */
  async plan(signal: AbortSignal): Promise<Round> {
    const { backends, faults } = await this.#parts.directory.backends();
    const crowds = await this.#crowds(backends, signal);
    const total = crowds.reduce((sum, { load }) => sum + load, 0);
    const active = backends.filter(({ state }) => state === 'active').length;
    const names = backends.map(({ name }) => name);
    const targets = targetsOf(names, this.#options.targets, total / Math.max(1, active));
    const loaded = backends.map((backend, i) => {
      return { ...backend, crowd: crowds[i] as Crowd, target: targets[i] as number };
    });
    return { plan: planBalance(loaded, this.#options), backends, faults };
  }

  /** Plans and carries it out, under the lock. @throws GatewayError as `plan`; BALANCE_LOCKED, BALANCE_LOCK_LOST, BACKEND_REFUSED */
  apply(signal: AbortSignal): Promise<Round> {
    return this.#underLock(signal, async (both) => {
      const round = await this.plan(both);
      await this.#carryOut(round, both);
      return round;
    });
  }

  /**
   * Plans and carries out every `everyMs`, until `signal` is aborted. A round that fails because loads or Redis aren't there is
   * told, and the next one comes all the same. Where another balancer works, it stands by, and takes over when that one has ended.
   * @param onWait told once that it stands by
   * @throws GatewayError BALANCE_LOCKED where the lock has no end; BALANCE_LOCK_LOST, and what no later round would mend
   */
  watch(
    everyMs: number,
    signal: AbortSignal,
    onRound: (round: Round) => void,
    onFailure: (error: GatewayError) => void,
    onWait: () => void,
  ): Promise<void> {
    const work = async (both: AbortSignal): Promise<void> => {
      while (!both.aborted) {
        try {
          const round = await this.plan(both);
          await this.#carryOut(round, both);
          onRound(round);
        } catch (error) {
          both.throwIfAborted();
          if (!(error instanceof GatewayError) || error.exitStatus === 2) throw error;
          onFailure(error);
        }
        await sleep(this.#parts.runtime, everyMs, both);
      }
    };
    return this.#underLock(signal, work, { signal, onWait }).catch((error: unknown) => {
      if (!signal.aborted || error !== signal.reason) throw error;
    });
  }

  /** @param action is given a signal that is aborted when either `signal` is or the lock is lost */
  #underLock<T>(signal: AbortSignal, action: (both: AbortSignal) => Promise<T>, standby?: Standby): Promise<T> {
    const { withRedis, runtime, names } = this.#parts;
    const lock = { key: `${names}balancer`, ttlMs: LOCK_MS };
    return underLock(withRedis, runtime, lock, (lost) => action(AbortSignal.any([lost, signal])), standby);
  }

  #crowds(backends: readonly BackendRecord[], signal: AbortSignal): Promise<Crowd[]> {
    const { withRedis, sessions, names, views } = this.#parts;
    switch (this.#options.by) {
      case 'sessions':
        return storedCrowds(withRedis, sessions, backends, signal);
      case 'reported':
        return reportedCrowds(withRedis, `${names}load`, backends, this.#reports);
      case 'lookups':
        return views().then((view) => lookupCrowds(view, backends));
    }
  }

  async #carryOut({ plan, backends }: Round, signal: AbortSignal): Promise<void> {
    for (const { name, ...fields } of inOrder(plan.changes, backends)) {
      signal.throwIfAborted();
      await this.#parts.directory.patchBackend(name, fields);
    }
  }
}

/**
 * First those that take users from then on, so that there is always somebody who does; then those that shed more, the least
 * first, so that who must take nobody is shut before others shed; then weights, and those that shed less.
 */
export function inOrder(changes: readonly BackendChange[], backends: readonly BackendRecord[]): BackendChange[] {
  const present = new Map(backends.map(({ name, shed }) => [name, shed]));
  const turn = ({ name, shed }: BackendChange): number => {
    if (shed === 0) return 0;
    return shed !== undefined && shed > (present.get(name) ?? 0) ? 1 : 2;
  };
  return [...changes].sort((a, b) => turn(a) - turn(b) || (a.shed ?? 0) - (b.shed ?? 0) || (a.name < b.name ? -1 : 1));
}

/** What is wrong with a plan that can't do what was asked; undefined where it can. */
export function shortcoming({ outcome, total, capacity, loads }: Plan): GatewayError | undefined {
  if (outcome === 'impossible') {
    const [all, most, over] = [total, capacity, total - capacity].map(loadText) as [string, string, string];
    return failure('BALANCE_IMPOSSIBLE', { total: all, capacity: most, over });
  }
  if (outcome !== 'not reached') return undefined;
  const names = loads.filter(({ after, target }) => after > target).map(({ name }) => name);
  return failure('BALANCE_NOT_REACHED', { names });
}
