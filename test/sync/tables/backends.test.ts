import { describe, expect, it } from 'vitest';
import type { Backend } from '../../../src/sync/table.ts';
import { parseAddress, parseBackends } from '../../../src/sync/tables/backends.ts';

const none = new Map<string, Backend>();

function parse(entries: Record<string, string>, ids: Record<string, number> = {}, lastGood = none) {
  const flat = (record: Record<string, string | number>): Buffer[] =>
    Object.entries(record).flatMap(([name, value]) => [Buffer.from(name), Buffer.from(String(value))]);
  return parseBackends(flat(entries), flat(ids), lastGood);
}

const entry = (id: number, more = ''): string => `{"id":${id},"address":"10.0.0.${id}:80"${more}}`;
const names = (backends: readonly Backend[]): string[] => backends.map(({ name, id }) => `${name}=${id}`);

const understood = (entries: Record<string, string>): Map<string, Backend> =>
  new Map(parse(entries).backends.map((backend) => [backend.name, backend]));

describe('parseBackends', () => {
  it('takes an entry as the function library writes it', () => {
    const json = '{"id":7,"address":"10.0.0.11:8080","state":"draining","weight":0,"shed":10000}';
    const address = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 11);
    expect(parse({ 'web-1': json })).toEqual({
      backends: [{ name: 'web-1', id: 7, address, port: 8080, state: 'draining', weight: 0, shed: 10_000 }],
      faults: [],
    });
  });

  it('takes active, 100 and 0 where they are missing', () => {
    expect(parse({ a: entry(1) }).backends[0]).toMatchObject({ state: 'active', weight: 100, shed: 0 });
  });

  it('sorts by name', () => {
    expect(names(parse({ c: entry(1), a: entry(3), b: entry(2) }).backends)).toEqual(['a=3', 'b=2', 'c=1']);
  });

  it.each([
    ['nonsense', 'entry: found text that is not JSON'],
    ['[1]', 'entry: found [1], allowed: a JSON object'],
    ['null', 'entry: found null, allowed: a JSON object'],
    [' '.repeat(4097), 'entry: found 4097 bytes, allowed: at most 4096'],
    ['{}', 'id: found nothing'],
    ['{"address":"10.0.0.1:80"}', 'id: found nothing, allowed: an integer from 1 to 65535'],
    ...['0', '65536', '1.5', '"1"', 'null', 'true', '[1]'].map((id) => [
      `{"id":${id},"address":"10.0.0.1:80"}`,
      'id: found',
    ]),
    ['{"id":1}', 'address: found nothing, allowed: an IP literal and a port'],
    [entry(1, ',"state":"up"'), 'state: found "up", allowed: active, draining, down'],
    [entry(1, ',"state":null'), 'state: found null'],
    [entry(1, ',"weight":65536'), 'weight: found 65536, allowed: an integer from 0 to 65535'],
    [entry(1, ',"weight":-1'), 'weight: found -1'],
    [entry(1, ',"shed":10001'), 'shed: found 10001, allowed: an integer from 0 to 10000'],
    [entry(1, ',"shed":0.5'), 'shed: found 0.5'],
  ])('refuses %s', (json, message) => {
    const { backends, faults } = parse({ bad: json, good: entry(2) });
    expect(names(backends)).toEqual(['good=2']);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ name: 'bad', kind: 'backend-entry' });
    expect(faults[0]?.message).toContain(message);
  });

  it('refuses names that are empty, too long or not UTF-8', () => {
    const table = [Buffer.alloc(0), Buffer.alloc(257, 'x'), Buffer.from([0xff])].flatMap((name, i) => [
      name,
      Buffer.from(entry(i + 1)),
    ]);
    const { backends, faults } = parseBackends(table, [], none);
    expect(backends).toEqual([]);
    expect(faults.map(({ message }) => message.slice(0, 20))).toEqual([
      'name: found 0 bytes,',
      'name: found 257 byte',
      'name: found bytes th',
    ]);
    expect(faults[1]?.name).toHaveLength(81);
  });

  it('uses an entry with a field that it does not know, and says so', () => {
    const { backends, faults } = parse({ a: entry(1, ',"rack":"r4","__proto__":1') });
    expect(names(backends)).toEqual(['a=1']);
    expect(faults.map(({ kind }) => kind)).toEqual(['backend-field', 'backend-field']);
  });

  it('keeps the last good address of an entry that became malformed, with weight 0, and not of one that is gone', () => {
    const lastGood = understood({ a: entry(1, ',"state":"draining","weight":7,"shed":250'), b: entry(2) });
    const { backends, faults } = parse({ a: 'nonsense' }, {}, lastGood);
    expect(backends).toEqual([{ ...lastGood.get('a'), weight: 0 }]);
    expect(faults).toMatchObject([{ name: 'a', kind: 'backend-entry', keepsLastGood: true }]);
    expect(parse({ a: 'nonsense' }).faults).toMatchObject([{ name: 'a', keepsLastGood: false }]);
  });

  it('keeps the last good address of an entry that claims the id of another one', () => {
    const lastGood = understood({ a: entry(1), b: entry(2) });
    const claimed = { a: entry(1), b: entry(1) };
    const { backends, faults } = parse(claimed, {}, lastGood);
    expect(backends.map(({ name, id, weight }) => [name, id, weight])).toEqual([
      ['a', 1, 100],
      ['b', 2, 0],
    ]);
    expect(faults).toMatchObject([{ name: 'b', kind: 'backend-id', keepsLastGood: true }]);
    // Unless that one's id is claimed, too.
    const { backends: others } = parse({ ...claimed, c: entry(2) }, {}, lastGood);
    expect(names(others)).toEqual(['a=1', 'c=2']);
  });

  it('takes a value that is not there since it is too long for malformed', () => {
    const { backends, faults } = parseBackends([Buffer.from('a'), null], [Buffer.from('a'), null], none);
    expect(backends).toEqual([]);
    expect(faults).toMatchObject([
      { kind: 'backend-entry', message: 'entry: found more, allowed: at most 4096 bytes' },
    ]);
  });

  it('gives an id that two claim to the one that it is recorded for, else to the first name', () => {
    const twice = { b: entry(1), a: entry(1), c: entry(1) };
    expect(names(parse(twice).backends)).toEqual(['a=1']);
    const recorded = parse(twice, { b: 1, a: 2 });
    expect(names(recorded.backends)).toEqual(['b=1']);
    expect(recorded.faults.map(({ name, kind }) => `${name} ${kind}`)).toEqual(['a backend-id', 'c backend-id']);
    expect(recorded.faults[0]?.message).toBe("id: found 1, which is b's; allowed: an id of its own");
  });

  it("does not let a malformed entry's last good value take the id of one that is understood", () => {
    const lastGood = understood({ a: entry(1) });
    expect(names(parse({ a: 'nonsense', b: entry(1) }, {}, lastGood).backends)).toEqual(['b=1']);
    expect(names(parse({ a: 'nonsense', b: entry(1) }, { a: 1 }, lastGood).backends)).toEqual(['a=1']);
  });
});

describe('parseAddress', () => {
  it.each([
    ['10.0.0.11:8080', '00000000000000000000ffff0a00000b', 8080],
    ['255.255.255.255:65535', '00000000000000000000ffffffffffff', 65_535],
    ['[2001:db8::1]:1', '20010db8000000000000000000000001', 1],
    ['[::ffff:10.0.0.1]:80', '00000000000000000000ffff0a000001', 80],
    ['[::]:80', '00000000000000000000000000000000', 80],
  ])('takes %s', (text, hex, port) => {
    const parsed = parseAddress(text);
    expect(Buffer.from(parsed.address).toString('hex')).toBe(hex);
    expect(parsed.port).toBe(port);
  });

  it.each([
    '',
    '10.0.0.1',
    '10.0.0.1:',
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '10.0.0.1:080',
    '10.0.0.1:8o',
    '010.0.0.1:80',
    '10.0.1:80',
    '167772161:80',
    '0x0a000001:80',
    '10.0.0.256:80',
    '2001:db8::1:80',
    '[2001:db8::1]',
    '[2001:db8:::1]:80',
    '[fe80::1%eth0]:80',
    '[10.0.0.1]:80',
    'localhost:80',
    ' 10.0.0.1:80',
    '10.0.0.1:80\n',
    5,
    null,
    undefined,
    {},
  ])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(RangeError);
  });
});
