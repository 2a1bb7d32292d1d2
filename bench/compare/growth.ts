/**
 * How the cost of a lookup grows: with sessions, keys, backends, and cores. May be imported by bench only.
 */
import type { BenchGateway } from '../traffic/gateway.ts';
import { Generator } from '../traffic/generator.ts';
import type { Pair } from '../traffic/network.ts';
import { benchKey } from '../traffic/world.ts';
import { COST_COLUMNS, withCosts } from './cost.ts';
import { type Column, type Contender, inTurns, type Row, type Section, type Turn, withDerived } from './measure.ts';
import { bare, costOf, ECHO, gatewayCase, mustBeRight, senderAlone } from './one-core.ts';
import { hits } from './sets.ts';
import { BACKENDS, type Setup } from './setup.ts';

const number = (value: number): string => value.toLocaleString('en');

interface Grown {
  readonly name: string;
  readonly gateway: () => BenchGateway;
  readonly order: Partial<Parameters<typeof hits>[0]>;
}

/** An echo, and the gateway as it grows, with as many different frames for all. */
async function grow(
  setup: Setup,
  what: { id: string; title: string; about: string; count: number; cases: readonly Grown[] },
): Promise<{ section: Section; gateways: BenchGateway[] }> {
  const { core, size, target, keys } = setup;
  const gateways: BenchGateway[] = [];
  const contenders: Contender[] = [];
  for (const { name, gateway: make, order } of what.cases) {
    setup.say(`growth: filling and signing for ${name}`);
    const gateway = make();
    gateways.push(gateway);
    const base = { target, keys: [keys[0]], count: what.count, sessions: size.sessions, backends: BACKENDS };
    const set = hits({ ...base, ...order });
    if (contenders.length === 0) contenders.push(senderAlone(core, set), bare(core, 'echo', set, ECHO));
    contenders.push(gatewayCase(core, { name, gateway, set }));
  }
  const { rows, leftOut } = await inTurns(size.turns, contenders, (text) => setup.say(`growth, ${what.id}: ${text}`));
  const first = what.cases[0]?.name ?? '';
  const grown = withDerived(withCosts(rows), first, (turn, base) => ({
    times: (turn['ns'] as number) / (base['ns'] as number),
  }));
  const columns: Column[] = [...COST_COLUMNS, { id: 'times', title: `times ${first}`, digits: 2 }];
  const { id, title, about } = what;
  return { section: { id, title, about, columns, rows: grown, leftOut }, gateways };
}

/** With memory, in MB per million sessions. */
export async function sessionsSection(setup: Setup): Promise<Section> {
  const { size } = setup;
  const { section, gateways } = await grow(setup, {
    id: 'sessions',
    title: 'Growth with sessions',
    about:
      `hmac-sha256, all found, asked for in an order without a pattern by ${number(size.manyFrames)} different requests. Memory: ` +
      "what the kernel says that the sessions' map takes, per million sessions, with room for a tenth more.",
    count: size.manyFrames,
    cases: size.tables.map((sessions) => ({
      name: `${number(sessions)} sessions`,
      gateway: () => setup.gateway({ sessions }),
      order: { sessions },
    })),
  });
  const megabytes = new Map(
    size.tables.map((sessions, i) => [`${number(sessions)} sessions`, (gateways[i]?.sessionBytes ?? 0) / sessions]),
  );
  setup.releaseGateways();
  const rows = section.rows.map(({ name, turns }): Row => {
    const memory = megabytes.get(name);
    return { name, turns: memory === undefined ? turns : turns.map((turn) => ({ ...turn, memory })) };
  });
  const columns = [...section.columns, { id: 'memory', title: 'MB per million', digits: 0 }];
  return { ...section, columns, rows };
}

export async function keysSection(setup: Setup): Promise<Section> {
  const { size } = setup;
  const { section } = await grow(setup, {
    id: 'keys',
    title: 'Growth with keys',
    about: 'hmac-sha256; every key is held and used, in turn.',
    count: size.frames,
    cases: size.keys.map((count) => {
      const keys = Array.from({ length: count }, (_, i) => benchKey(i + 1));
      const name = count === 1 ? '1 key' : `${count} keys`;
      return { name, gateway: () => setup.gateway({ keys }), order: { keys } };
    }),
  });
  setup.releaseGateways();
  return section;
}

export async function backendsSection(setup: Setup): Promise<Section> {
  const { size } = setup;
  const { section } = await grow(setup, {
    id: 'backends',
    title: 'Growth with backends',
    about: 'hmac-sha256; sessions are spread over all of them.',
    count: size.frames,
    cases: size.backends.map((backends) => ({
      name: backends === 1 ? '1 backend' : `${number(backends)} backends`,
      gateway: () => setup.gateway({ backends }),
      order: { backends },
    })),
  });
  setup.releaseGateways();
  return section;
}

/** Two pairs, each with a sender on a CPU of its own, and one gateway on both: what is shared, and written, would show. */
export async function coresSection(setup: Setup): Promise<Section> {
  const { size, network, senderCpu, serverCpu, target } = setup;
  const [first, second] = network.pairs as [Pair, Pair];
  setup.say('growth: signing for two cores');
  const gateway = setup.gateway();
  const order = { keys: [setup.keys[0]], count: size.frames, sessions: size.sessions, backends: BACKENDS };
  const sets = [
    hits({ ...order, target }),
    hits({ ...order, target: { ...target, address: second.serverAddress } }),
  ] as const;
  const other = new Generator(network, second, serverCpu, { small: size.frames, large: 1 });
  const lanes = [
    { generator: setup.generator, pair: first, set: sets[0] },
    { generator: other, pair: second, set: sets[1] },
  ];
  const contender = (name: string, used: readonly (typeof lanes)[number][]): Contender => ({
    name,
    async measure() {
      const detach = used.map(({ pair }) => gateway.attach(pair.server));
      try {
        const runs = await Promise.all(
          used.map(({ generator, set }) => generator.run({ flows: [{ set }], milliseconds: size.serverMilliseconds })),
        );
        for (const run of runs) mustBeRight(run, run.replies);
        const turns = runs.map((run, i) => costOf(run, used[i]?.set ?? sets[0], (part) => setup.noteShare(part)));
        return summed(turns);
      } finally {
        for (const done of detach) done();
      }
    },
  });
  const both = 'both cores, two pairs';
  const alone = [`core ${senderCpu} alone`, `core ${serverCpu} alone`] as const;
  const contenders = [
    contender(alone[0], lanes.slice(0, 1)),
    contender(alone[1], lanes.slice(1)),
    contender(both, lanes),
  ];
  try {
    const { rows, leftOut } = await inTurns(size.turns, contenders, (text) => setup.say(`growth, cores: ${text}`));
    return {
      id: 'cores',
      title: 'Growth with cores',
      about:
        'hmac-sha256, one program and one set of maps for both pairs, a sender and its gateway on each core. ' +
        'Where nothing that is written is shared, a lookup costs on both what it costs on one.',
      columns: [
        { id: 'ns', title: 'ns a lookup, sender included', digits: 0 },
        { id: 'perSecond', title: 'lookups/s, all cores', digits: 0 },
        { id: 'times', title: 'times the mean of one core', digits: 2 },
      ],
      rows: timesOneCore(rows, alone),
      leftOut,
    };
  } finally {
    await other.close();
    setup.releaseGateways();
  }
}

/** Cores together: rates add up, costs are averaged. */
function summed(turns: readonly Turn[]): Turn {
  const all = (id: string): number[] => turns.map((turn) => turn[id] ?? 0);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, value) => total + value, 0);
  return { ns: sum(all('ns')) / turns.length, perSecond: sum(all('perSecond')) };
}

function timesOneCore(rows: readonly Row[], alone: readonly string[]): Row[] {
  const single = rows.filter(({ name }) => alone.includes(name));
  return rows.map(({ name, turns }) => ({
    name,
    turns: turns.map((turn, i) => {
      const base = single.flatMap((row) => row.turns[i]?.['ns'] ?? []);
      const mean = base.reduce((sum, ns) => sum + ns, 0) / base.length;
      return { ...turn, times: (turn['ns'] as number) / mean };
    }),
  }));
}
