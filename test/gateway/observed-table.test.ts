import { beforeEach, expect, test } from 'vitest';
import { ObservedTable } from '../../src/gateway/observed-table.ts';
import type { GatewayEvent } from '../../src/gateway/ports.ts';
import { type Backend, noChanges, type SessionTable } from '../../src/sync/table.ts';

let calls: unknown[][];
let events: GatewayEvent[];
let denials: number;
let table: ObservedTable;

/** Takes every call, and remembers it. */
function recordingTable(): SessionTable {
  const handler: ProxyHandler<object> = {
    get(_, name) {
      if (name === 'room') return 7;
      return (...args: unknown[]) => {
        calls.push([name, ...args]);
        return name === 'flush' ? noChanges() : undefined;
      };
    },
  };
  return new Proxy({}, handler) as SessionTable;
}

beforeEach(() => {
  calls = [];
  events = [];
  denials = 0;
  table = new ObservedTable(recordingTable(), {
    publish: (event) => void events.push(event),
    countDenial() {
      denials += 1;
    },
  });
});

const version = (ms: number, seq = 0) => ({ ms, seq });
const bytes = (text: string) => Buffer.from(text);

test('every call arrives as it is, in order', () => {
  const sent: [keyof SessionTable, ...unknown[]][] = [
    ['beginGeneration'],
    ['put', 'aa', version(1), 5, 7],
    ['remove', 'ab', version(2)],
    ['deny', 'ac', 9],
    ['putFact', 'ad', bytes('1'), version(3)],
    ['removeFact', 'ad'],
    ['beginDenied'],
    ['endDenied'],
    ['beginFacts'],
    ['endFacts'],
    ['setBackends', []],
    ['markInStep', 12],
    ['commitGeneration'],
    ['flush'],
  ];
  const target = table as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const [name, ...args] of sent) target[name]?.(...args);
  expect(calls).toEqual(sent);
  expect(table.room).toBe(7);
  expect(table.flush()).toEqual(noChanges());
});

test('a fact is told once it is in force, when its value changes, and when it is gone', () => {
  table.putFact('aa', bytes('1'), version(1));
  expect(events).toEqual([]);
  table.flush();
  table.putFact('aa', bytes('1'), version(2));
  table.putFact('aa', bytes(''), version(3));
  table.putFact('aa', bytes('x'), version(2, 9));
  table.removeFact('aa');
  table.removeFact('bb');
  table.flush();
  table.flush();
  expect(events).toEqual([
    { type: 'fact', nameHash: 'aa', hex: '31' },
    { type: 'fact', nameHash: 'aa', hex: '' },
    { type: 'fact', nameHash: 'aa', hex: '78' },
    { type: 'fact', nameHash: 'aa', hex: null },
  ]);
});

test('facts told anew: only what differs is told, whatever its version', () => {
  for (const name of ['aa', 'bb', 'cc']) table.putFact(name, bytes('1'), version(9));
  table.flush();
  events = [];
  table.beginFacts();
  table.putFact('aa', bytes('1'), version(1));
  table.putFact('bb', bytes('2'), version(1));
  table.endFacts();
  table.flush();
  expect(events).toEqual([
    { type: 'fact', nameHash: 'bb', hex: '32' },
    { type: 'fact', nameHash: 'cc', hex: null },
  ]);
});

test('revocations are counted, but not those that are told anew', () => {
  table.deny('aa', 5);
  table.deny('aa', 0);
  table.beginDenied();
  table.deny('bb', 5);
  table.endDenied();
  table.deny('cc', 5);
  expect(denials).toBe(3);
});

test('backends that differ are told by name, a bounded number of them', () => {
  const backend = (id: number, fields: Partial<Backend> = {}): Backend => {
    return {
      name: `web-${id}`,
      id,
      address: new Uint8Array(16),
      port: 80,
      state: 'active',
      weight: 1,
      shed: 0,
      ...fields,
    };
  };
  table.setBackends([backend(1), backend(2), backend(3)]);
  table.setBackends([backend(3), backend(1), backend(2)]);
  table.setBackends([backend(1), backend(2, { shed: 5 }), backend(4)]);
  expect(events).toEqual([
    { type: 'backends', names: ['web-1', 'web-2', 'web-3'], others: 0 },
    { type: 'backends', names: ['web-2', 'web-4', 'web-3'], others: 0 },
  ]);
  table.setBackends(Array.from({ length: 1_000 }, (_, i) => backend(i + 10)));
  expect(events[2]).toMatchObject({ others: 903 });
});
