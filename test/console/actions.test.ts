/** What the page keeps and tells as an operator changes backends, before a made-up API. */
import { beforeEach, expect, test } from 'vitest';
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
      fail();
      return { backends: [...table.values()], faults: [] };
    })();
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
  problem = undefined;
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
