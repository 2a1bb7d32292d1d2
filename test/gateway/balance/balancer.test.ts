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
