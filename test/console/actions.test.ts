/** What the page keeps and tells as an operator changes backends, before a made-up API. */
import { beforeEach, describe, expect, test } from 'vitest';
import { Actions } from '../../src/gateway/console/page/actions.js';
import { Problem } from '../../src/gateway/console/page/api.js';
import { Store } from '../../src/gateway/console/page/store.js';

interface Backend {
  readonly name: string;
  readonly state: string;
  readonly weight: number;
  readonly shed: number;
  readonly share: number;
  readonly sessions: number;
}

const backend = (name: string, fields: Partial<Backend> = {}): Backend => {
  return { name, state: 'active', weight: 100, shed: 0, share: 0.5, sessions: 10, ...fields };
};

/** As the gateway has them. */
let table: Map<string, Backend>;
/** Each reading waits for it. */
let gate: Promise<void> | undefined;
let readings: number;
let reloads: number;
/** Thrown by the next call. */
let problem: Error | undefined;
let store: InstanceType<typeof Store>;
let actions: InstanceType<typeof Actions>;
let nowMs: number;

function fail(): void {
  const thrown = problem;
  problem = undefined;
  if (thrown !== undefined) throw thrown;
}

const api = {
  get backends() {
    return (async () => {
      readings += 1;
      fail();
      const backends = [...table.values()];
      await gate;
      return { backends, faults: [] };
    })();
  },
  async reloadKeys() {
    reloads += 1;
    return { added: [], removed: [{ id: 1, name: 'edge' }], changed: [], kept: 2 };
  },
  async patchBackend(name: string, fields: Partial<Backend>) {
    fail();
    const after = { ...backend(name), ...table.get(name), ...fields };
    table.set(name, after);
    return after;
  },
};

beforeEach(async () => {
  table = new Map(['a', 'b'].map((name) => [name, backend(name)]));
  [gate, readings, reloads, problem] = [undefined, 0, 0, undefined];
  nowMs = 1_000;
  store = new Store(() => nowMs);
  actions = new Actions(store, api);
});

test('backends that can’t be read stay as they were, with the reason, until they are read again', async () => {
  problem = new Problem('Redis is away', { status: 503 });
  await actions.refresh();
  expect(store).toMatchObject({ backends: null, backendsProblem: 'Redis is away' });
  await actions.refresh();
  expect(store).toMatchObject({ backends: { backends: [{}, {}] }, backendsAtMs: 1_000, backendsProblem: null });
  nowMs = 5_000;
  problem = new Problem('Redis is away', { status: 503 });
  await actions.refresh();
  expect(store).toMatchObject({
    backends: { backends: [{}, {}] },
    backendsAtMs: 1_000,
    backendsProblem: 'Redis is away',
  });
  // Nobody is shown the page: a token is asked for.
  store.set({ backendsProblem: null });
  problem = new Problem('found another token', { status: 401 });
  await actions.refresh();
  expect(store.backendsProblem).toBeNull();
});

const away = () => new Problem('it does not answer');
const lastToast = () => store.toasts.at(-1) as { text: string; undo?: () => Promise<boolean> };
const stateOf = (name: string) => table.get(name)?.state;

test('who asks for the backends while they are read is given what is read after that', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  gate = promise;
  const first = actions.refresh();
  table.set('a', backend('a', { state: 'down' }));
  const others = [actions.refresh(), actions.refresh()];
  resolve();
  await first;
  expect(store.backends.backends[0]).toMatchObject({ state: 'active' });
  await Promise.all(others);
  expect(store.backends.backends[0]).toMatchObject({ state: 'down' });
  expect(readings).toBe(2);
});

describe('an undo', () => {
  beforeEach(() => actions.refresh());

  test('puts back what was there before the change, whatever the page knew', async () => {
    table.set('a', backend('a', { shed: 2_500 }));
    await actions.shed('a', 5_000);
    expect(await lastToast().undo?.()).toBe(true);
    expect(table.get('a')?.shed).toBe(2_500);
    expect(lastToast().text).toMatch(/^Undone/);
  });

  test('that failed is offered again; while another change is under way it is not tried', async () => {
    await actions.drain('a');
    const { undo } = lastToast();
    problem = away();
    await undo?.();
    expect(lastToast()).toMatchObject({ text: 'it does not answer', isProblem: true });
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    const shedding = actions.shed('a', 100);
    expect(await lastToast().undo?.()).toBe(false);
    resolve();
    await shedding;
    const offered = store.toasts.find(({ isProblem }: { isProblem: boolean }) => isProblem);
    await offered.undo();
    expect(table.get('a')).toMatchObject({ state: 'active', shed: 100 });
  });

  test('leaves alone what was changed since, and says by whom', async () => {
    await actions.drain('a');
    const { undo } = lastToast();
    actions.down('a');
    await store.question.run();
    await undo?.();
    expect(lastToast().text).toMatch(/changed here since/);
    table.set('a', backend('a', { state: 'active' }));
    await undo?.();
    expect(lastToast().text).toMatch(/somebody else/);
    table.delete('a');
    await undo?.();
    expect(lastToast().text).toMatch(/somebody else/);
    expect(stateOf('a')).toBeUndefined();
  });

  test('that leaves no backend for new users is asked about', async () => {
    table.set('a', backend('a', { state: 'draining' }));
    await actions.refresh();
    await actions.undrain('a');
    const { undo } = lastToast();
    await actions.drain('b');
    expect(await undo?.()).toBe(false);
    expect([stateOf('a'), store.question.text]).toEqual(['active', expect.stringContaining('NOT_FOUND')]);
    await store.question.run();
    expect(stateOf('a')).toBe('draining');
  });

  test('after another undo goes further back', async () => {
    await actions.drain('a');
    const { undo } = lastToast();
    actions.down('a');
    await store.question.run();
    await lastToast().undo?.();
    expect(stateOf('a')).toBe('draining');
    await undo?.();
    expect(stateOf('a')).toBe('active');
  });
});

test('a backend that is gone is not made anew', async () => {
  await actions.refresh();
  table.delete('a');
  await actions.drain('a');
  expect(lastToast().text).toMatch(/no backend any more/);
  expect(stateOf('a')).toBeUndefined();
});

test('the key file is read again by who has read that keys may stop', async () => {
  actions.reloadKeys();
  expect(store.question.text).toMatch(/no longer in the file stops at once/);
  expect(reloads).toBe(0);
  await store.question.run();
  expect([reloads, lastToast().text]).toEqual([1, 'Keys are read again: 1 removed.']);
});
