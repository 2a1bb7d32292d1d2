import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { Balancer, type BalancerParts, inOrder } from '../../../src/gateway/balance/balancer.ts';
import { lookupCrowds } from '../../../src/gateway/balance/loads.ts';
import { parseTargets } from '../../../src/gateway/balance/targets.ts';
import { roundText, watchLine } from '../../../src/gateway/commands/balance.ts';
import type { BackendRecord, BackendView } from '../../../src/gateway/ports.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';

function view(id: number, lookupsPerSecond: number | null, fields: Partial<BackendView> = {}): BackendView {
  const name = `web-${id}`;
  const address = `10.0.0.${id}:80`;
  return {
    name,
    id,
    address,
    state: 'active',
    weight: 100,
    shed: 0,
    sessions: null,
    lookupsPerSecond,
    share: 0,
    ...fields,
  };
}

describe('lookups a second', () => {
  const views = [view(1, 50), view(2, 5, { shed: 0 }), view(3, null, { state: 'down' })];

  test('are loads as they are measured', () => {
    expect(lookupCrowds({ backends: views, faults: [] }, views).map(({ load }) => load)).toEqual([50, 5, 0]);
    const shedding = [view(1, 50, { shed: 5_000 }), view(2, 60)];
    expect(lookupCrowds({ backends: shedding, faults: [] }, shedding).map(({ load }) => Math.round(load))).toEqual([
      100, 10,
    ]);
  });

  test('that are not known yet are missed', () => {
    const early = [view(1, 50), view(2, null)];
    const asked = () => lookupCrowds({ backends: early, faults: [] }, early);
    expect(asked).toThrow(
      expect.objectContaining({ code: 'BALANCE_LOADS_MISSING', message: expect.stringContaining('"web-2"') }),
    );
  });

  test('make a proposal', async () => {
    const parts: BalancerParts = {
      directory: {
        backends: async () => ({ backends: views, faults: [{ name: 'web-\u001b9', message: 'id: found nothing' }] }),
        patchBackend: () => Promise.reject(new Error('not to be called')),
      },
      withRedis: () => Promise.reject(new Error('not to be called')),
      sessions: { prefix: 'sess:', backend: { in: 'hash', field: 'backend' } },
      names: 'gateway:',
      views: async () => ({ backends: views, faults: [] }),
      runtime: systemRuntime,
    };
    const options = { by: 'lookups' as const, targets: parseTargets(['40']), margin: 0.2, step: 10_000 };
    const round = await new Balancer(parts, options).plan(new AbortController().signal);
    expect(round.plan).toMatchObject({ outcome: 'reached', changes: [{ name: 'web-1', shed: 2_000 }] });
    const text = roundText(round, false);
    expect(text).toMatch(/^web-1 +active +50 +40 +40 +0 % -> 20 % +100$/m);
    expect(text).toContain('left out, wrong in Redis: web-\\u001b9: id: found nothing');
    expect(text).toMatch(/reached: 1 backend to change, 18.18 % of the load moves; do it with --apply$/);
    expect(watchLine(round)).toBe('reached: fullest at 125.0 % of its target; web-1 shed 20 %');
  });
});

describe('reported loads', () => {
  /** Plans again and again, with each plan carried out. */
  class Rounds {
    readonly loads = new Map<string, string>();
    backends: BackendRecord[];
    readonly #balancer: Balancer;

    constructor(loads: Readonly<Record<string, string>>, target: string) {
      for (const [name, load] of Object.entries(loads)) this.loads.set(name, load);
      this.backends = Object.keys(loads).map((_, i) => view(i + 1, null));
      const redis = {
        hmgetBuffer: async (_: string, ...names: string[]) =>
          names.map((name) => Buffer.from(this.loads.get(name) ?? '')),
      };
      const parts: BalancerParts = {
        directory: {
          backends: async () => ({ backends: this.backends, faults: [] }),
          patchBackend: () => Promise.reject(new Error('not to be called')),
        },
        withRedis: (action) => action(redis as unknown as Redis),
        sessions: { prefix: 'sess:', backend: { in: 'hash', field: 'backend' } },
        names: 'gateway:',
        views: () => Promise.reject(new Error('not to be called')),
        runtime: systemRuntime,
      };
      this.#balancer = new Balancer(parts, {
        by: 'reported',
        targets: parseTargets([target]),
        margin: 0.2,
        step: 1_000,
      });
    }

    async next(): Promise<string> {
      const { plan } = await this.#balancer.plan(new AbortController().signal);
      const changes = new Map(plan.changes.map((change) => [change.name, change]));
      this.backends = this.backends.map((backend) => ({ ...backend, ...changes.get(backend.name) }));
      return plan.outcome;
    }

    sheds(): number[] {
      return this.backends.map(({ shed }) => shed);
    }
  }

  test('that are written more seldom than is looked are not taken for new ones: no more is shed than they ask for', async () => {
    const rounds = new Rounds({ 'web-1': '200', 'web-2': '20', 'web-3': '30' }, '100');
    for (let i = 0; i < 8; i++) await rounds.next();
    expect(rounds.sheds()).toEqual([5_000, 0, 0]);
    expect(await rounds.next()).toBe('nothing to do');
    // The others report who came to them; the first one still doesn't.
    rounds.loads.set('web-2', '70').set('web-3', '80');
    for (let i = 0; i < 8; i++) await rounds.next();
    expect(rounds.sheds()).toEqual([5_000, 0, 0]);
    // Now it does, and was more than it seemed to be.
    rounds.loads.set('web-1', '110');
    for (let i = 0; i < 8; i++) await rounds.next();
    expect(rounds.sheds()[0]).toBe(5_455);
    // And with its load gone it sheds nobody.
    rounds.loads.set('web-1', '20');
    for (let i = 0; i < 8; i++) await rounds.next();
    expect(rounds.sheds()).toEqual([0, 0, 0]);
  });
});

test('at every moment between two changes somebody takes users', () => {
  const backends: BackendRecord[] = [
    [1, 0],
    [2, 1],
    [3, 0],
    [4, 900],
  ].map(([id = 0, shed = 0]) => view(id, null, { shed }));
  const changes = [
    { name: 'web-4', shed: 500 },
    { name: 'web-1', shed: 2_000 },
    { name: 'web-3', shed: 1, weight: 7 },
    { name: 'web-2', shed: 0 },
  ];
  // Opened; shut; more; less.
  expect(inOrder(changes, backends).map(({ name }) => name)).toEqual(['web-2', 'web-3', 'web-1', 'web-4']);
});
