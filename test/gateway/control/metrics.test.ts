import { expect, test } from 'vitest';
import { createMetrics } from '../../../src/gateway/control/metrics.ts';
import type { Status } from '../../../src/gateway/ports.ts';
import { fakeBackendCounts, fakeStatus } from './fake-gateway.ts';

const SAMPLE = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)/g;

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Prometheus' text format 0.0.4; throws at a line that is not of it. */
function parse(text: string): { samples: Sample[]; types: Map<string, string>; helps: Set<string> } {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const helps = new Set<string>();
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === 'TYPE') types.set(name, rest);
    else if (kind === 'HELP') helps.add(name);
    else if (line !== '') {
      const [, sampleName = '', labelText = '', value = ''] = SAMPLE.exec(line) ?? [];
      if (sampleName === '') throw new Error(`not a sample: ${line}`);
      const labels = Object.fromEntries([...labelText.matchAll(LABEL)].map(([, label, text]) => [label, text]));
      samples.push({ name: sampleName, labels: labels as Record<string, string>, value: Number(value) });
    }
  }
  return { samples, types, helps };
}

async function scrape(status: Status): Promise<(name: string) => Sample[]> {
  const { samples } = parse(await createMetrics({ status: () => status, backendCounts: fakeBackendCounts }).text());
  return (name) => samples.filter((sample) => sample.name === `session_gateway_${name}`);
}

test('every family has a type and a help text, and counters end in _total', async () => {
  const { samples, types, helps } = parse(
    await createMetrics({ status: fakeStatus, backendCounts: fakeBackendCounts }).text(),
  );
  const own = [...types].filter(([name]) => name.startsWith('session_gateway_'));
  expect(own.length).toBeGreaterThan(10);
  for (const [name, type] of own) {
    expect(helps.has(name)).toBe(true);
    expect(name.endsWith('_total')).toBe(type === 'counter');
  }
  const values = samples.filter(({ name }) => name.startsWith('session_gateway_')).map(({ value }) => value);
  expect(values.every(Number.isFinite)).toBe(true);
  expect(types.has('process_resident_memory_bytes')).toBe(true);
});

test('packets by verdict, zero ones too', async () => {
  const packets = (await scrape(fakeStatus()))('packets_total');
  expect(packets).toHaveLength(Object.keys(fakeStatus().packets).length);
  expect(packets).toContainEqual(expect.objectContaining({ labels: { verdict: 'REPLY_FOUND' }, value: 42 }));
  expect(packets).toContainEqual(expect.objectContaining({ labels: { verdict: 'DROP_GUARD' }, value: 0 }));
});

test.each([
  ['sessions', {}, 12],
  ['sessions_capacity', {}, 1000],
  ['sessions_refused_total', {}, 3],
  ['ready', {}, 1],
  ['age_seconds', {}, 1.5],
  ['sessions_collected_total', {}, 4],
  ['responder_lost_total', { what: 'overflowed' }, 5],
  ['responder_lost_total', { what: 'unread' }, 6],
  ['responder_lost_total', { what: 'unsent' }, 7],
  ['feed_lag_entries', {}, 2],
  ['session_changes_total', { result: 'inserted' }, 9],
  ['resyncs_failed_total', {}, 0],
  ['redis_connections_total', {}, 1],
  ['backends', {}, 2],
  ['backends_unknown', {}, 1],
  ['keys', {}, 1],
  ['sync_state', { state: 'following' }, 1],
  ['feed_entries_total', { op: 'set' }, 10],
  ['problems_total', { kind: 'feed-op' }, 1],
  ['resyncs_total', { reason: 'start' }, 1],
  ['interface', { interface: 'eth0', mode: 'native' }, 1],
  ['backends_malformed', {}, 1],
  ['backend_sessions', { backend: 'web-1', id: '1' }, 8],
  ['backend_lookups_total', { backend: 'web-1', id: '1' }, 30],
  ['backend_shed_ratio', { backend: 'web-1', id: '1' }, 0.025],
  ['backend_state', { backend: 'web-1', id: '1', state: 'active' }, 1],
  ['denied_sessions', {}, 3],
  ['feed_position_timestamp_seconds', {}, 1_700_000_000],
  ['last_resync_duration_seconds', {}, 0.001],
  ['last_failure_timestamp_seconds', {}, 1_700_000_000],
  ['key_requests_total', { key_id: '7', name: 'edge' }, 21],
  ['key_valid', { key_id: '7', name: 'edge' }, 1],
  ['key_not_after_timestamp_seconds', { key_id: '7', name: 'edge' }, 1_900_000_000],
  ['lookup_duration_seconds_count', { status: 'FOUND' }, 2],
  ['lookup_duration_seconds_sum', { status: 'FOUND' }, 0.0020006],
  ['lookup_duration_seconds_bucket', { status: 'FOUND', le: '5.12e-7' }, 0],
  ['lookup_duration_seconds_bucket', { status: 'FOUND', le: '7.68e-7' }, 1],
  ['lookup_duration_seconds_bucket', { status: 'FOUND', le: '+Inf' }, 2],
  ['lookup_duration_sample_ratio', {}, 1 / 64],
  ['build_info', { version: '0.1.0' }, 1],
])('%s', async (name, labels, value) => {
  expect((await scrape(fakeStatus()))(name)).toContainEqual(expect.objectContaining({ labels, value }));
});

test.each([
  ['', [0]],
  ['Kg', [1]],
  [null, []],
])('notifications, of which %j are missing', async (missing, values) => {
  const status = fakeStatus();
  const notifications = { missing, pending: 3, events: 5, reads: 4 };
  const named = await scrape({ ...status, sync: { ...status.sync, notifications } });
  expect(named('notifications_missing').map(({ value }) => value)).toEqual(values);
  expect(named('notifications_pending')).toMatchObject([{ value: 3 }]);
  expect((await scrape(status))('notifications_pending')).toEqual([]);
});

test('an age that is not known is left out, an age of nothing is not', async () => {
  expect((await scrape({ ...fakeStatus(), ageMs: null }))('age_seconds')).toEqual([]);
  expect((await scrape({ ...fakeStatus(), ageMs: 0 }))('age_seconds')).toMatchObject([{ value: 0 }]);
});

test('a second scrape has the new values, not sums, and no state of before', async () => {
  let now = fakeStatus();
  const metrics = createMetrics({ status: () => now, backendCounts: fakeBackendCounts });
  await metrics.text();
  now = { ...now, packets: { ...now.packets, REPLY_FOUND: 50 }, sync: { ...now.sync, state: 'loading' }, ageMs: null };
  const { samples } = parse(await metrics.text());
  const named = (name: string) => samples.filter((sample) => sample.name === `session_gateway_${name}`);
  expect(named('packets_total').find(({ labels }) => labels['verdict'] === 'REPLY_FOUND')?.value).toBe(50);
  expect(named('sync_state').map(({ labels }) => labels['state'])).toEqual(['loading']);
  expect(named('age_seconds')).toEqual([]);
});
