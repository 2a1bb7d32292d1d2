/** What `gateway doctor` makes of what a test machine can't be, or not all at once. */
import { describe, expect, test } from 'vitest';
import type { KeyFields } from '../../../src/auth/keyring.ts';
import { parseConfig } from '../../../src/gateway/config.ts';
import { judgeBackends } from '../../../src/gateway/doctor/backends.ts';
import { checkDaemon, checkRequests } from '../../../src/gateway/doctor/daemon.ts';
import { judgeFeed } from '../../../src/gateway/doctor/feed.ts';
import { checkKeys } from '../../../src/gateway/doctor/files.ts';
import type { Finding } from '../../../src/gateway/doctor/finding.ts';
import {
  checkAddresses,
  checkInterface,
  checkInterfaces,
  type InterfaceFacts,
} from '../../../src/gateway/doctor/interfaces.ts';
import {
  checkBtf,
  checkCapabilities,
  checkClock,
  checkJit,
  checkKernel,
  checkMemory as checkMachineMemory,
} from '../../../src/gateway/doctor/machine.ts';
import { checkHttp, checkUdp, meet, socketsIn } from '../../../src/gateway/doctor/ports.ts';
import { checkMemory, checkPersistence, checkReplicas } from '../../../src/gateway/doctor/redis.ts';
import { failure } from '../../../src/gateway/errors.ts';
import type { NetworkDevice } from '../../../src/gateway/kernel/network-devices.ts';
import type { BackendRecord, Status } from '../../../src/gateway/ports.ts';
import { fakeStatus, zeroCounts } from '../control/fake-gateway.ts';

/** What is amiss. */
const codes = (findings: readonly Finding[]) => findings.flatMap(({ code }) => code ?? []);

describe('the machine', () => {
  test.each([
    ['6.18.0-generic', null],
    ['5.15.0', null],
    ['5.14.21-150500', 'kernel-old'],
    ['4.19.0', 'kernel-old'],
    ['weird', 'kernel-old'],
  ])('kernel %s: %s', (version, code) => {
    expect(checkKernel(version).code).toBe(code);
  });

  test('BTF, compiler, capabilities, clock', () => {
    expect([checkBtf(true).code, checkBtf(false).code]).toEqual([null, 'btf-missing']);
    expect([checkJit('1\n').code, checkJit(undefined).code, checkJit('0\n').code]).toEqual([null, null, 'jit-off']);
    const without = checkCapabilities(['CAP_BPF'], 'the daemon');
    expect(without).toMatchObject({ code: 'capability-missing', found: 'the daemon is without CAP_BPF' });
    expect(checkCapabilities([], 'the daemon').code).toBeNull();
    expect(checkClock({ isUnsynchronised: false, maxErrorMs: 1.5 }).code).toBeNull();
    expect(checkClock({ isUnsynchronised: true, maxErrorMs: 16_000 }).code).toBe('clock-unsynchronised');
  });

  test('memory is the least of what machine and control group leave', () => {
    const meminfo = 'MemTotal: 9 kB\nMemAvailable:    1048576 kB\n';
    expect(checkMachineMemory(1_000_000, meminfo, Number.POSITIVE_INFINITY).code).toBeNull();
    // 190 bytes a session: 182 MB, and 35 for the other maps.
    expect(checkMachineMemory(1_000_000, meminfo, 218 * 2 ** 20).code).toBeNull();
    expect(checkMachineMemory(1_000_000, meminfo, 216 * 2 ** 20)).toMatchObject({
      code: 'memory-short',
      remedy: expect.stringContaining('MemoryMax='),
    });
    expect(checkMachineMemory(10_000_000, meminfo, Number.POSITIVE_INFINITY).code).toBe('memory-short');
    expect(checkMachineMemory(10_000_000, undefined, Number.POSITIVE_INFINITY).code).toBeNull();
  });
});

describe('keys', () => {
  const DAY_MS = 86_400_000;
  const NOW_MS = 1_000 * DAY_MS;
  const key = (id: number, notBeforeMs: number | null, notAfterMs: number | null): KeyFields => {
    return { id, name: `k${id}`, suite: 'hmac-sha256', encrypt: false, notBeforeMs, notAfterMs };
  };
  const found = (keys: KeyFields[], inForce?: KeyFields[]) =>
    codes(
      checkKeys(
        'keys.yaml',
        keys,
        inForce?.map((one) => ({ ...one, valid: true, uses: 0 })),
        NOW_MS,
      ),
    );

  test('end, begin, and are in force as the file has them', () => {
    expect(found([key(1, null, null)])).toEqual([]);
    expect(found([])).toEqual(['keys-none']);
    expect(found([key(1, null, NOW_MS + 15 * DAY_MS)])).toEqual([]);
    expect(found([key(1, null, NOW_MS + 13 * DAY_MS)])).toEqual(['key-ends-soon']);
    expect(found([key(1, null, NOW_MS - 1)])).toEqual(['keys-none-valid', 'key-ended']);
    expect(found([key(1, NOW_MS + 1, null), key(2, null, null)])).toEqual(['key-not-begun']);
    expect(found([key(1, null, null)], [key(1, null, null)])).toEqual([]);
    expect(found([key(1, null, null)], [key(2, null, null)])).toEqual(['keys-not-reloaded']);
    expect(found([key(1, null, null)], [key(1, null, NOW_MS * 2)])).toEqual(['keys-not-reloaded']);
  });
});

describe('an interface', () => {
  const device = (more: Partial<NetworkDevice> = {}): NetworkDevice => {
    return {
      name: 'eth1',
      index: 5,
      mtu: 1_500,
      isUp: true,
      kind: null,
      link: null,
      xdp: null,
      driver: 'ice',
      ...more,
    };
  };
  const xdp = (mode: 'native' | 'generic', programId = 7) => ({ xdp: { mode, programId } });
  const found = (more: Partial<InterfaceFacts>) => {
    const facts = { peer: undefined, vlans: [], stripsVlanTags: false, queues: 8, cpus: 8, attached: undefined };
    return codes(checkInterface({ device: device(), attach: 'auto', ownPrograms: new Set([7]), ...facts, ...more }));
  };

  test('that is as it must be', () => {
    expect(found({})).toEqual([]);
    expect(found({ device: device(xdp('native')), attached: 'native' })).toEqual([]);
  });

  test('with our program, without a daemon; with another one; with none where one must be', () => {
    expect(found({ device: device(xdp('native')) })).toEqual(['interface-own-program']);
    expect(found({ device: device(xdp('native', 8)) })).toEqual(['xdp-foreign']);
    expect(found({ device: device(xdp('native', 8)), attached: 'missing' })).toEqual(['xdp-foreign']);
    expect(found({ device: device(xdp('native', 8)), ownPrograms: null })).toEqual([]);
    expect(found({ attached: 'missing' })).toEqual(['interface-not-attached']);
  });

  test('in generic mode, down, with too few queues, with an MTU that does not do', () => {
    expect(found({ device: device(xdp('generic')), attached: 'generic' })).toEqual(['interface-generic']);
    expect(found({ device: device({ isUp: false }) })).toEqual(['interface-down']);
    expect(found({ queues: 1, cpus: 8 })).toEqual(['queues-few']);
    expect(found({ queues: null })).toEqual([]);
    expect(found({ device: device({ mtu: 1_127 }) })).toEqual(['mtu-small']);
    expect(found({ device: device({ mtu: 1_128 }) })).toEqual([]);
    expect(found({ device: device({ mtu: 9_000 }) })).toEqual(['mtu-large']);
    expect(found({ device: device({ mtu: 9_000, ...xdp('native') }), attached: 'native' })).toEqual([]);
  });

  test('that takes VLAN tags off, where there are VLANs', () => {
    expect(found({ vlans: ['eth1.5'], stripsVlanTags: true })).toEqual(['vlan-stripped']);
    expect(found({ vlans: [], stripsVlanTags: true })).toEqual([]);
    expect(found({ vlans: ['eth1.5'], stripsVlanTags: null })).toEqual([]);
    const generic = { device: device(xdp('generic')), attached: 'generic' };
    expect(found({ ...generic, vlans: ['eth1.5'], stripsVlanTags: true })).toEqual(['interface-generic']);
  });

  test('that is to be in generic mode, before the first start: what only native mode wants is not missed', () => {
    const facts = { peer: device({ name: 'peer' }), vlans: ['eth1.5'], stripsVlanTags: true };
    expect(found({ ...facts, attach: 'generic' })).toEqual([]);
    expect(found({ device: device({ mtu: 9_000 }), attach: 'generic' })).toEqual([]);
    // The program of an earlier daemon, which was told otherwise.
    expect(found({ ...facts, device: device(xdp('native')), attached: 'native', attach: 'generic' })).toHaveLength(2);
    expect(found({ ...facts, attach: 'native' })).toEqual(['veth-peer-without-xdp', 'vlan-stripped']);
  });

  test('where the daemon answers in the place of a program', () => {
    const config = parseConfig('{ listen: { interfaces: [eth1] } }', '/etc/gateway.yaml');
    const without = { ...config, listen: { ...config.listen, attach: 'none' as const } };
    expect(checkInterfaces(without, [{ name: 'eth1', mode: 'none' }])).toMatchObject([
      { name: 'interface eth1', code: 'interface-without-program', found: 'no XDP program is on it' },
    ]);
  });

  test.each<[string[], string[], string | null]>([
    [[], ['fe80::1', '192.0.2.1'], null],
    [[], [], 'addresses-none'],
    [[], ['fe80::1', '169.254.3.4'], 'addresses-link-local'],
    [['fe80::1'], ['fe80::1'], null],
    [['192.0.2.1'], ['192.0.2.1'], null],
  ])('listen.addresses %j, answered on %j: %s', (addresses, found, code) => {
    const { listen } = parseConfig('{ listen: { interfaces: [lo] } }', '/etc/gateway.yaml');
    expect(checkAddresses({ ...listen, addresses }, found)[0]?.code).toBe(code);
    // Those that are not there are told of as such.
    expect(codes(checkAddresses({ ...listen, addresses, interfaces: ['sgwnone0'] }, found))).toEqual([]);
  });

  test('whose other end has no program', () => {
    expect(found({ peer: device({ name: 'peer' }) })).toEqual(['veth-peer-without-xdp']);
    expect(found({ peer: device(xdp('native')) })).toEqual([]);
    expect(found({ peer: device(), device: device(xdp('generic')), attached: 'generic' })).toEqual([
      'interface-generic',
    ]);
  });
});

describe('ports', () => {
  const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1940 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 00000000:1940 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 00000000:1941 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 333 1
`;

  test('sockets on one, as the kernel lists them', () => {
    const [loopback, everywhere] = [
      { address: '127.0.0.1', inode: '111' },
      { address: '0.0.0.0', inode: '222' },
    ];
    expect(socketsIn(TABLE, 0x1940, false)).toEqual([loopback, everywhere]);
    expect(socketsIn(TABLE, 0x1940, true)).toEqual([loopback]);
    expect(socketsIn('', 1, false)).toEqual([]);
    const ipv6 = TABLE.replace('0100007F', 'B80D0120000000000000000001000000').replace(
      '00000000:1940',
      '0000000000000000FFFF00000100000A:1940',
    );
    expect(socketsIn(ipv6, 0x1940, false).map(({ address }) => address)).toEqual(['2001:db8::1', '10.0.0.1']);
  });

  test.each([
    ['127.0.0.1', '127.0.0.1', true],
    ['10.0.0.2', '127.0.0.1', false],
    ['0.0.0.0', '127.0.0.1', true],
    ['10.0.0.2', '0.0.0.0', true],
    ['::', '127.0.0.1', true],
    ['::1', '::', true],
    ['::1', '0.0.0.0', false],
    ['::1', '127.0.0.1', false],
  ])('at %s and at %s are in each other’s way: %s', (one, other, are) => {
    expect(meet(one, other)).toBe(are);
  });

  test('are the daemon’s or another’s', () => {
    const socket = (pid: number | null) => [{ inode: '1', pid, program: pid === null ? null : 'dnsmasq' }];
    const [away, seen, unseen] = [
      { answers: false, pid: undefined },
      { answers: true, pid: 5 },
      { answers: true, pid: undefined },
    ];
    expect(checkUdp(6464, [], away).code).toBeNull();
    expect(checkUdp(6464, socket(5), seen).code).toBeNull();
    expect(checkUdp(6464, socket(null), unseen).code).toBeNull();
    expect(checkUdp(6464, socket(5), away).code).toBe('udp-port-taken');
    expect(checkUdp(6464, socket(5), { ...seen, pid: 6 })).toMatchObject({
      code: 'udp-port-taken',
      found: 'a socket of process 5 (dnsmasq)',
    });
    expect(checkHttp(80, socket(5), seen).code).toBeNull();
    expect(checkHttp(80, socket(null), seen).code).toBeNull();
    expect(checkHttp(80, socket(7), seen).code).toBe('http-port-taken');
    expect(checkHttp(80, socket(null), away).code).toBe('http-port-taken');
    // Beside one that could be opened all the same, as it is at another address or shared.
    expect(checkHttp(80, [...socket(7), ...socket(5)], seen).code).toBeNull();
    expect(checkUdp(6464, [...socket(7), ...socket(5)], seen).code).toBe('udp-port-taken');
  });
});

describe('the daemon', () => {
  const config = { ...parseConfig('{}', '/etc/session-gateway/gateway.yaml') };
  const good = (more: Partial<Status> = {}): Status => {
    const fake = fakeStatus();
    const sync = { ...fake.sync, lastError: null, backends: { known: 2, faults: [], unknown: [] }, denied: null };
    return { ...fake, pid: process.pid, refused: 0, ageMs: 500, sync, packets: zeroCounts(), ...more };
  };
  const found = (now: Status) => codes(checkDaemon(config, { before: now, now }, process.pid));
  const inSync = (more: Partial<Status['sync']>): Status => good({ sync: { ...good().sync, ...more } });

  test('where all is well', () => {
    expect(found(good())).toEqual([]);
  });

  test.each<[string, Status, string[]]>([
    ['old answers', good({ ageMs: 10_001 }), ['daemon-stale']],
    ['none ever in step', good({ ageMs: null }), ['daemon-stale']],
    ['first load', good({ ready: false, ageMs: null }), ['daemon-not-ready']],
    ['no Redis', inSync({ state: 'connecting' }), ['daemon-not-connected']],
    ['version', good({ version: '9.9.9' }), ['daemon-of-another-version']],
    ['configuration', good({ configFile: '/other' }), ['daemon-of-another-configuration']],
    ['full', good({ sessions: 1_000, refused: 5 }), ['table-full']],
    ['nearly full', good({ sessions: 850 }), ['table-nearly-full']],
    ['was full', good({ refused: 5 }), ['table-was-full']],
    ['malformed revocations', inSync({ denied: { entries: 1, malformed: 1, timeMs: 1 } }), ['revocations-left-out']],
    [
      'unknown backends',
      inSync({ backends: { known: 1, faults: [], unknown: [{ name: 'web-9', records: 3 }] } }),
      ['backends-unknown'],
    ],
  ])('%s', (_, status, expected) => {
    expect(found(status)).toEqual(expected);
  });

  test('that is away, out of reach, or something else', () => {
    const silent = (error: unknown) => codes(checkDaemon(config, { error }, undefined));
    expect(silent(failure('DAEMON_NOT_RUNNING', { socket: 's' }))).toEqual(['daemon-away']);
    expect(silent(failure('DAEMON_UNREACHABLE', { socket: 's', reason: 'EACCES' }))).toEqual(['daemon-unreachable']);
    expect(silent(failure('DAEMON_SILENT', { socket: 's', timeoutMs: 1 }))).toEqual(['daemon-not-understood']);
  });

  test('requests that were refused are a note, that are refused now a warning', () => {
    const before = { ...zeroCounts(), DROP_GUARD: 3, DROP_KEY_UNKNOWN: 1 };
    const now = { ...before, DROP_KEY_UNKNOWN: 5, REPLY_FOUND: 9 };
    expect(checkRequests(before, now)).toMatchObject([
      { code: 'requests-forged', level: 'note', found: expect.stringContaining('3 that') },
      { code: 'requests-of-unknown-keys', level: 'warning', found: expect.stringMatching(/^5 .* 4 of them just now$/) },
    ]);
    expect(codes(checkRequests(zeroCounts(), zeroCounts()))).toEqual([]);
    expect(checkRequests(zeroCounts(), { ...zeroCounts(), DROP_TAG: 2 })).toMatchObject([
      { code: 'requests-wrong-tags', level: 'problem', found: expect.stringMatching(/^2 .* 2 of them just now$/) },
    ]);
  });
});

describe('Redis', () => {
  const field = (fields: Record<string, string>) => (name: string) => fields[name] ?? '';

  test.each([
    [0, 5, 'allkeys-lru', null],
    [100, 5, 'noeviction', null],
    [100, 95, 'noeviction', 'redis-memory-short'],
    [100, 5, 'allkeys-lfu', 'redis-evicts-all'],
    [100, 5, 'volatile-ttl', 'redis-evicts-sessions'],
  ])('maxmemory %i, %i used, %s: %s', (maxBytes, usedBytes, policy, code) => {
    expect(checkMemory('m', { maxBytes, usedBytes, policy }).code).toBe(code);
  });

  test.each([
    [{ aof_enabled: '1', aof_last_write_status: 'ok' }, '', null],
    [{ aof_enabled: '1', aof_last_write_status: 'err' }, '', 'redis-persistence-fails'],
    [{ aof_enabled: '0', rdb_last_bgsave_status: 'ok' }, '3600 1', null],
    [{ aof_enabled: '0', rdb_last_bgsave_status: 'err' }, '3600 1', 'redis-persistence-fails'],
    [{ aof_enabled: '0', rdb_last_bgsave_status: 'ok' }, '', 'redis-not-persistent'],
    [{ aof_enabled: '0', rdb_last_bgsave_status: 'ok' }, undefined, 'redis-persistence-unknown'],
    [{ aof_enabled: '0', rdb_last_bgsave_status: 'err' }, undefined, 'redis-persistence-fails'],
    [{ aof_enabled: '1', aof_last_write_status: 'ok' }, undefined, null],
  ])('persistence %j, save %j: %s', (fields, save, code) => {
    expect(checkPersistence('p', field(fields), save).code).toBe(code);
  });

  test.each([
    [{ connected_slaves: '0' }, '0', 'redis-no-replica'],
    [{ connected_slaves: '1' }, '0', 'redis-replicas-unheeded'],
    [{ connected_slaves: '1', min_slaves_good_slaves: '1' }, '1', null],
    [{ connected_slaves: '1', min_slaves_good_slaves: '0' }, '1', 'redis-replicas-short'],
    [{ connected_slaves: '1' }, '1', null],
    [{ connected_slaves: '0' }, undefined, 'redis-no-replica'],
    [{ connected_slaves: '1' }, undefined, null],
    [{ connected_slaves: '1', min_slaves_good_slaves: '1' }, undefined, null],
    [{ connected_slaves: '1', min_slaves_good_slaves: '0' }, undefined, 'redis-replicas-short'],
  ])('replicas %j of %s: %s', (fields, setting, code) => {
    expect(checkReplicas('r', field(fields), setting).code).toBe(code);
  });

  test.each([
    [1_000_000, 0, null],
    [1_000_000, null, null],
    [3_000_000, 0, 'feed-long'],
    [10, 6, null],
    [10, 11, 'feed-overtaken'],
    [4_000, 2_001, 'feed-nearly-overtaken'],
  ])('a feed of %i, %s behind: %s', (length, lag, code) => {
    expect(judgeFeed('f', length, lag)[0]?.code).toBe(code);
  });

  const backend = (id: number, more: Partial<BackendRecord> = {}): BackendRecord => {
    return { name: `web-${id}`, id, address: '10.0.0.1:1', state: 'active', weight: 100, shed: 0, ...more };
  };
  test.each<[string, BackendRecord[], string[]]>([
    ['none', [], ['backends-none']],
    ['one', [backend(1)], []],
    [
      'draining and without weight',
      [backend(1, { state: 'draining' }), backend(2, { weight: 0 })],
      ['backends-none-active'],
    ],
    ['all shed', [backend(1, { shed: 1 }), backend(2, { shed: 1 })], ['backends-all-shed']],
  ])('backends: %s', (_, backends, expected) => {
    expect(codes(judgeBackends({ backends, faults: [] }))).toEqual(expected);
  });

  test('entries that are wrong are named, up to a bound', () => {
    const faults = Array.from({ length: 30 }, (_, i) => ({ name: `bad-${i}`, message: 'id: found nothing' }));
    const found = judgeBackends({ backends: [backend(1)], faults });
    expect(found[0]).toMatchObject({ code: 'backend-wrong', name: 'backend bad-0', found: 'id: found nothing' });
    expect(codes(found)).toHaveLength(21);
    expect(found[20]?.found).toBe('10 more entries are wrong');
  });
});
