/**
 * Two gateways and the model agree on every one of 100,000 users, at every step of what operators do to backends. The gateways have come
 * to each step by other ways: one of them has seen another table just before, and all tables in another order.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Flag, lookupReplyLayout, readLookupReply, Status } from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { buildRing, isShed, movedTo, type PlacedBackend, slotOf } from '../../src/auth/placement.ts';
import { runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import type { Backend } from '../../src/sync/table.ts';
import { BpfLab } from './lab.ts';

const USERS = 100_000;
const BACKENDS = 6;
/** Of the users, one in so many has no session. */
const UNKNOWN_ONE_IN = 5;
/** Ethernet, IPv4 and UDP headers. */
const PAYLOAD_AT = 14 + 20 + 8;

interface User {
  readonly hash: Uint8Array;
  /** Id of a backend; 0 = no session */
  readonly stored: number;
  readonly frame: Uint8Array;
}

let labs: BpfLab[];
let users: User[];

beforeAll(() => {
  labs = [new BpfLab(USERS), new BpfLab(USERS)];
  const [lab] = labs as [BpfLab];
  const key = lab.newKey(1);
  for (const one of labs) {
    one.addKey(key);
    one.settings.maxSkewMs = Number.MAX_SAFE_INTEGER;
    one.applySettings();
  }
  users = Array.from({ length: USERS }, (_, i) => {
    const name = `user ${i}`;
    const stored = i % UNKNOWN_ONE_IN === 0 ? 0 : 1 + (i % BACKENDS);
    return { hash: cookieHash(name), stored, frame: lab.frame(lab.request(key, name)) };
  });
  const store = ({ datapath: { table } }: BpfLab, order: readonly User[]): void => {
    for (const { hash, stored } of order) {
      if (stored !== 0) table.put(Buffer.from(hash).toString('hex'), { ms: 1, seq: 0 }, 0, stored);
    }
    table.flush();
  };
  store(labs[0] as BpfLab, users);
  store(labs[1] as BpfLab, users.toReversed());
}, 120_000);
afterAll(() => {
  for (const lab of labs ?? []) lab.close();
});

type Table = readonly Backend[];

const initial: Table = Array.from({ length: BACKENDS }, (_, i) => ({
  id: i + 1,
  name: `app-${i + 1}`,
  address: new Uint8Array(16).fill(i + 1),
  port: 80,
  state: 'active',
  weight: 100,
  shed: 0,
}));

const change = (table: Table, id: number, fields: Partial<Backend>): Table =>
  table.map((backend) => (backend.id === id ? { ...backend, ...fields } : backend));

/** What each user is answered with: status, flags, backend, as one number. */
type Answers = Uint32Array;

const answer = (status: number, flags: number, backend: number): number => (status << 24) | (flags << 16) | backend;
const backendOf = (value: number): number => value & 0xffff;
const isMoved = (value: number): boolean => ((value >>> 16) & Flag.MOVED) !== 0;

function kernelAnswers(lab: BpfLab): Answers {
  return Uint32Array.from(users, ({ frame }) => {
    const { packet } = runOnPacket(lab.datapath.programDescriptor, frame);
    const view = new DataView(packet.buffer, packet.byteOffset + PAYLOAD_AT, lookupReplyLayout.size);
    const { status, flags, backendId } = readLookupReply(view);
    return answer(status, flags & ~Flag.STALE, backendId);
  });
}

function modelAnswers(table: Table): Answers {
  const placeable: PlacedBackend[] = table.map((backend) => ({ ...backend, active: backend.state === 'active' }));
  const ring = buildRing(placeable);
  const byId = new Map(placeable.map((backend) => [backend.id, backend]));
  return Uint32Array.from(users, ({ hash, stored }) => {
    const backend = byId.get(stored);
    if (backend !== undefined) {
      const to = movedTo(ring, backend, hash);
      return answer(Status.FOUND, to === 0 ? 0 : Flag.MOVED, to || stored);
    }
    const slot = slotOf(hash);
    const placed = ring.placed[slot] as number;
    const moved = ring.moved[slot] as number;
    const at = moved !== 0 && isShed(byId.get(placed) as PlacedBackend, hash) ? moved : placed;
    return at === 0 ? answer(Status.NOT_FOUND, 0, 0) : answer(Status.NOT_FOUND, Flag.PLACED, at);
  });
}

const differences = (a: Answers, b: Answers): number => a.reduce((sum, value, i) => sum + Number(value !== b[i]), 0);

/** Answers at this step, which are the same everywhere. */
async function answersAt(table: Table): Promise<Answers> {
  const [first, second] = labs as [BpfLab, BpfLab];
  await first.setBackends(table);
  const detour = table.map((backend, i) => ({ ...backend, weight: 1 + i, shed: 0, state: 'active' as const }));
  await second.setBackends(detour.slice(1));
  await second.setBackends(table.toReversed());
  const answers = kernelAnswers(first);
  expect(differences(answers, kernelAnswers(second))).toBe(0);
  expect(differences(answers, modelAnswers(table))).toBe(0);
  const active = new Set(table.filter(({ state }) => state === 'active').map(({ id }) => id));
  const wrong = answers.filter((value, i) => {
    return isMoved(value) && (!active.has(backendOf(value)) || backendOf(value) === users[i]?.stored);
  });
  expect(wrong).toHaveLength(0);
  return answers;
}

/** Users stored on a backend that are moved, by their number. */
const movedFrom = (answers: Answers, id: number): Set<number> =>
  new Set(users.flatMap(({ stored }, i) => (stored === id && isMoved(answers[i] as number) ? [i] : [])));
const storedOn = (id: number): number => users.filter(({ stored }) => stored === id).length;
/** Stored on others than these, or nowhere, and answered differently. */
const others = (a: Answers, b: Answers, ...ids: number[]): { stored: number; unknown: number } => {
  const differ = users.flatMap(({ stored }, i) => (a[i] !== b[i] && !ids.includes(stored) ? [stored] : []));
  return { stored: differ.filter((id) => id !== 0).length, unknown: differ.filter((id) => id === 0).length };
};
const unknownUsers = USERS / UNKNOWN_ONE_IN;

test('drain, shed 30, shed 60, undrain, down, weights, remove, and back', { timeout: 600_000 }, async () => {
  const start = await answersAt(initial);
  expect(start.some(isMoved)).toBe(false);

  let table = change(initial, 1, { state: 'draining' });
  const drained = await answersAt(table);
  expect(movedFrom(drained, 1).size).toBe(storedOn(1));
  expect(others(start, drained, 1).stored).toBe(0);
  // Those that had their place there, and at most a fifth more.
  expect(others(start, drained, 1).unknown / unknownUsers).toBeLessThan((1 + 1.2) / BACKENDS);

  table = change(table, 2, { shed: 3_000 });
  const shed30 = movedFrom(await answersAt(table), 2);
  expect(Math.abs(shed30.size / storedOn(2) - 0.3)).toBeLessThan(0.01);
  table = change(table, 2, { shed: 6_000 });
  const shed60 = movedFrom(await answersAt(table), 2);
  expect(Math.abs(shed60.size / storedOn(2) - 0.6)).toBeLessThan(0.01);
  expect([...shed30].every((i) => shed60.has(i))).toBe(true);

  table = change(table, 1, { state: 'active' });
  const undrained = await answersAt(table);
  expect(movedFrom(undrained, 1).size).toBe(0);
  expect(others(start, undrained, 2).stored).toBe(0);
  expect(movedFrom(undrained, 2)).toEqual(shed60);

  table = change(table, 3, { state: 'down' });
  expect(movedFrom(await answersAt(table), 3).size).toBe(storedOn(3));
  table = change(change(table, 4, { weight: 300 }), 6, { weight: 0 });
  expect(movedFrom(await answersAt(table), 3).size).toBe(storedOn(3));

  const [removed, kept] = [table.filter(({ id }) => id === 5), table.filter(({ id }) => id !== 5)];
  const without = await answersAt(kept);
  const known = new Set(kept.map(({ id }) => id));
  expect(without.every((value) => known.has(backendOf(value)))).toBe(true);

  expect(await answersAt([...kept, ...removed].map(({ id }) => initial[id - 1] as Backend))).toEqual(start);
});
