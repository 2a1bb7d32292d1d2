/**
 * What a lookup costs in the kernel: every suite, encrypted, batches, hits and misses, generic mode, forged packets, beside a bare echo. May be
 * imported by bench only.
 */
import type { FrameSet } from '../traffic/frames.ts';
import type { BenchGateway } from '../traffic/gateway.ts';
import { VARY } from '../traffic/generator.ts';
import type { BenchKey } from '../traffic/world.ts';
import { type Column, type Contender, inTurns, type LeftOut, type Row, type Section, withDerived } from './measure.ts';
import { bare, ECHO, type GatewayCase, gatewayCase, SENDER, senderAlone } from './one-core.ts';
import { forgedGuards, forgedTags, hits, misses } from './sets.ts';
import { BACKENDS, type Setup } from './setup.ts';

const BATCHES = [16, 64];

export const COST_COLUMNS: readonly Column[] = [
  { id: 'ns', title: 'ns a lookup, sender included', digits: 0 },
  { id: 'echoes', title: 'in bare echoes', digits: 2 },
  { id: 'own', title: 'CPU-s per million, sender taken out', digits: 3 },
  { id: 'perSecond', title: 'lookups/s on the one core', digits: 0 },
];

/** Ratio to the echo, and what is left without the sender, of the same turn. */
export function withCosts(rows: readonly Row[], senders: Readonly<Record<string, string>> = {}): Row[] {
  const compared = withDerived(rows, ECHO, (turn, echo) => ({
    echoes: (turn['ns'] as number) / (echo['ns'] as number),
  }));
  return compared.map((row) => {
    const sender = senders[row.name] ?? SENDER;
    const own = (turn: Record<string, number>, base: Record<string, number>) => ({
      own: Math.max(0, (turn['ns'] as number) - (base['ns'] as number)) / 1000,
    });
    const [derived] = withDerived([row, ...compared.filter(({ name }) => name === sender)], sender, own);
    return derived ?? row;
  });
}

export async function costSection(setup: Setup): Promise<Section> {
  const { size, core, keys, target } = setup;
  setup.say(`cost of a lookup: signing requests for ${size.sessions} sessions`);
  const gateway = setup.gateway();
  const order = { target, count: size.frames, sessions: size.sessions, backends: BACKENDS };
  const plain = hits({ ...order, keys: [keys[0]] });
  const cases: GatewayCase[] = [{ name: 'hmac-sha256', gateway, set: plain }];
  const add = (name: string, key: BenchKey, batch = 1): void => {
    const count = batch === 1 ? size.frames : size.batchFrames;
    cases.push({ name, gateway, set: hits({ ...order, keys: [key], count, batch }) });
  };
  cases.push({ name: 'hmac-sha256, not found', gateway, set: misses({ ...order, keys: [keys[0]] }) });
  add('blake2s', keys[1]);
  add('hmac-sha256, encrypted', keys[2]);
  add('blake2s, encrypted', keys[3]);
  for (const batch of BATCHES) {
    add(`hmac-sha256, batch of ${batch}`, keys[0], batch);
    add(`blake2s, batch of ${batch}`, keys[1], batch);
  }
  cases.push({ name: 'hmac-sha256, generic mode', gateway, set: plain, mode: 'generic' });
  cases.push(...forgeries(gateway, plain, keys[0]));

  const { served, leftOut } = sortOut(cases);
  const senders: Record<string, string> = {};
  const contenders: Contender[] = [
    senderAlone(core, plain),
    bare(core, 'drop', plain, 'bare drop'),
    bare(core, 'echo', plain, ECHO),
  ];
  for (const batch of BATCHES) {
    const ofBatch = served.filter(({ set }) => set.lookups === batch);
    if (ofBatch[0] === undefined) continue;
    const name = `${SENDER}, batch of ${batch}`;
    contenders.push(senderAlone(core, ofBatch[0].set, name));
    for (const found of ofBatch) senders[found.name] = name;
  }
  contenders.push(...served.map((found) => gatewayCase(core, found)));
  const { rows, leftOut: failed } = await inTurns(size.turns, contenders, (text) =>
    setup.say(`cost of a lookup: ${text}`),
  );
  setup.releaseGateways();
  return {
    id: 'cost',
    title: 'What a lookup costs in the kernel',
    about:
      `${size.sessions.toLocaleString('en')} sessions, IPv4. Sender, gateway and the counting of answers share one core. ` +
      'The sender alone makes the frames and sends none; a bare drop is sent and crosses the pair once, a bare echo comes back.',
    columns: COST_COLUMNS,
    rows: withCosts(rows, senders),
    leftOut: [...leftOut, ...failed],
  };
}

function forgeries(gateway: BenchGateway, plain: FrameSet, key: BenchKey): GatewayCase[] {
  const forged = 'never' as const;
  return [
    { name: 'forged: unknown key', gateway, set: { ...plain, problemOf: () => 'an answer' }, forged, vary: VARY.keyId },
    { name: 'forged: wrong guard', gateway, set: forgedGuards(plain), forged },
    { name: 'right guard, wrong tag (takes the key)', gateway, set: forgedTags(plain, key), forged },
  ];
}

/** What the program refuses is left out. */
function sortOut(cases: readonly GatewayCase[]): { served: GatewayCase[]; leftOut: LeftOut[] } {
  const served: GatewayCase[] = [];
  const leftOut: LeftOut[] = [];
  for (const found of cases) {
    const why = found.forged === undefined ? found.gateway.refusal(found.set) : undefined;
    if (why === undefined) served.push(found);
    else leftOut.push({ name: found.name, why });
  }
  return { served, leftOut };
}
