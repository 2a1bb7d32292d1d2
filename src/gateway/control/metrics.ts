/**
 * What Prometheus scrapes, in a registry of its own: names and units by Prometheus' conventions, labels from short lists
 * that nobody outside can lengthen. May be imported by src/gateway only.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { Shed } from '../../abi.ts';
import type { BackendCounts, Gateway, KeyInfo, Status } from '../ports.ts';
import { registerLatency } from './latency-metric.ts';
import { BACKEND_SERIES_MAX } from './limits.ts';

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

type Counts = Readonly<Record<string, number>>;

/** @param gateway read once a scrape */
export function createMetrics(gateway: Pick<Gateway, 'status' | 'backendCounts'>): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const updates: ((now: Status) => void)[] = [];
  let backends: readonly BackendCounts[] = [];

  const gauge = (name: string, help: string, value: (now: Status) => number | null) => {
    const metric = new Gauge({ name: `session_gateway_${name}`, help, registers: [registry] });
    updates.push((now) => {
      const next = value(now);
      // None is said of what isn't known: a 0 would look like a fact.
      if (next === null) metric.remove();
      else metric.set(next);
    });
  };
  const stateGauge = (
    name: string,
    help: string,
    labels: string[],
    value: (now: Status) => Record<string, string>[],
  ) => {
    const metric = new Gauge({ name: `session_gateway_${name}`, help, labelNames: labels, registers: [registry] });
    updates.push((now) => {
      metric.reset();
      for (const labelled of value(now)) metric.set(labelled, 1);
    });
  };
  /** One value for each of a bounded number of things; null leaves it out. */
  const each = <L extends string>(
    kind: 'gauge' | 'counter',
    name: string,
    help: string,
    labelNames: readonly L[],
    values: (now: Status) => readonly (readonly [labels: Record<L, string>, value: number | null])[],
  ) => {
    const options = { name: `session_gateway_${name}`, help, labelNames: [...labelNames], registers: [registry] };
    const metric = kind === 'gauge' ? new Gauge(options) : new Counter(options);
    updates.push((now) => {
      metric.reset();
      for (const [labels, value] of values(now)) if (value !== null) metric.inc(labels, value);
    });
  };
  const counter = (name: string, help: string, label: string, value: (now: Status) => Counts) => {
    const metric = new Counter({ name: `session_gateway_${name}`, help, labelNames: [label], registers: [registry] });
    updates.push((now) => {
      metric.reset();
      for (const [labelValue, count] of Object.entries(value(now))) metric.inc({ [label]: labelValue }, count);
    });
  };
  const total = (name: string, help: string, value: (now: Status) => number) => {
    const metric = new Counter({ name: `session_gateway_${name}`, help, registers: [registry] });
    updates.push((now) => {
      metric.reset();
      metric.inc(value(now));
    });
  };

  stateGauge('build_info', 'Version of the daemon.', ['version'], ({ version }) => [{ version }]);
  counter('packets_total', 'Packets, by what became of them.', 'verdict', ({ packets }) => packets);
  counter(
    'responder_packets_total',
    'Packets that the XDP program left to the host, by what became of them here.',
    'verdict',
    ({ responder }) => responder ?? {},
  );
  counter('responder_lost_total', "What was lost at the host's sockets.", 'what', ({ lost }) => lost);
  gauge('sessions', 'Sessions in the kernel, expired ones not yet collected included.', ({ sessions }) => sessions);
  gauge('sessions_capacity', 'Most sessions that the kernel can hold.', ({ capacity }) => capacity);
  total('sessions_refused_total', 'Sessions not stored because the table was full.', ({ refused }) => refused);
  gauge('ready', "1 once this daemon's own first load is in.", ({ ready }) => Number(ready));
  gauge('age_seconds', 'Time since the table was last in step with Redis.', ({ ageMs }) =>
    ageMs === null ? null : ageMs / 1000,
  );
  stateGauge('sync_state', 'What the sync with Redis is doing.', ['state'], ({ sync }) => [{ state: sync.state }]);
  gauge('feed_lag_entries', 'Feed entries not yet applied, at the last check.', ({ sync }) => sync.lagEntries);
  gauge(
    'notifications_pending',
    'Keys that changed and are not read yet.',
    ({ sync }) => sync.notifications?.pending ?? null,
  );
  gauge(
    'notifications_missing',
    'Whether Redis does not send notifications that are needed (1), or does (0).',
    ({ sync }) => {
      const missing = sync.notifications?.missing ?? null;
      return missing === null ? null : Number(missing !== '');
    },
  );
  counter('feed_entries_total', 'Feed entries, by operation.', 'op', ({ sync }) => sync.entries);
  counter('problems_total', 'Things in Redis that are not as they must be.', 'kind', ({ sync }) => sync.problems);
  counter('resyncs_total', 'Full loads, by reason.', 'reason', ({ sync }) => sync.resyncs);
  total('resyncs_failed_total', 'Full loads that failed and were begun again.', ({ sync }) => sync.resyncsFailed);
  total(
    'redis_connections_total',
    'Connections to Redis that got as far as following it.',
    ({ sync }) => sync.connections,
  );
  counter(
    'session_changes_total',
    'Changes to the table, by what became of them.',
    'result',
    ({ sync }) => sync.changes,
  );
  total('sessions_collected_total', 'Dead sessions collected.', ({ collected }) => collected);
  gauge('backends', 'Backends known.', ({ sync }) => sync.backends.known);
  gauge('backends_unknown', 'Names that sessions refer to and that are no backends, at most 100.', ({ sync }) => {
    return sync.backends.unknown.length;
  });
  gauge('backends_malformed', 'Entries of gateway:backends that are wrong, at most 100.', ({ sync }) => {
    return sync.backends.faults.length;
  });
  const backend = (
    kind: 'gauge' | 'counter',
    name: string,
    help: string,
    value: (of: BackendCounts) => number | null,
  ) =>
    each(kind, `backend_${name}`, help, ['backend', 'id'], () =>
      backends.map((of) => [{ backend: of.name, id: String(of.id) }, value(of)]),
    );
  backend('gauge', 'sessions', 'Sessions stored on a backend, as last counted.', ({ sessions }) => sessions);
  backend('counter', 'lookups_total', 'Answers that named a backend.', ({ answers }) => answers);
  backend('gauge', 'weight', "A backend's weight in the ring.", ({ weight }) => weight);
  backend('gauge', 'shed_ratio', "The part of a backend's users that goes elsewhere.", ({ shed }) => shed / Shed.WHOLE);
  stateGauge('backend_state', "A backend's state.", ['backend', 'id', 'state'], () =>
    backends.map(({ name, id, state }) => ({ backend: name, id: String(id), state })),
  );
  gauge('backends_unlisted', 'Backends that have no series of their own here, because there are so many.', ({ sync }) =>
    Math.max(0, sync.backends.known - backends.length),
  );
  gauge(
    'denied_sessions',
    'Revocations when gateway:denied was last read.',
    ({ sync }) => sync.denied?.entries ?? null,
  );
  gauge('facts', 'Facts when gateway:facts was last read.', ({ sync }) => sync.facts?.entries ?? null);
  gauge('feed_position_timestamp_seconds', 'When the last feed entry that is applied was written.', ({ sync }) =>
    sync.position === null ? null : Number(sync.position.split('-')[0]) / 1000,
  );
  gauge('last_resync_timestamp_seconds', 'When the last full load ended.', ({ sync }) =>
    sync.lastResync === null ? null : sync.lastResync.endedMs / 1000,
  );
  gauge('last_resync_duration_seconds', 'How long the last full load took.', ({ sync }) =>
    sync.lastResync === null ? null : (sync.lastResync.endedMs - sync.lastResync.startedMs) / 1000,
  );
  gauge('last_failure_timestamp_seconds', 'When following Redis last failed.', ({ sync }) =>
    sync.lastError === null ? null : sync.lastError.timeMs / 1000,
  );
  gauge('keys', 'Keys in force.', ({ keys }) => keys.length);
  const key = (kind: 'gauge' | 'counter', name: string, help: string, value: (of: KeyInfo) => number | null) =>
    each(kind, `key_${name}`, help, ['key_id', 'name'], ({ keys }) =>
      keys.map((of) => [{ key_id: String(of.id), name: of.name }, value(of)]),
    );
  key('counter', 'requests_total', 'Authentic requests signed with a key.', ({ uses }) => uses);
  key('gauge', 'valid', 'Whether a key may be used now (1) or not (0).', ({ valid }) => Number(valid));
  key('gauge', 'not_before_timestamp_seconds', 'When a key begins to work, if that is limited.', ({ notBeforeMs }) =>
    notBeforeMs === null ? null : notBeforeMs / 1000,
  );
  key('gauge', 'not_after_timestamp_seconds', 'When a key ends, if it does.', ({ notAfterMs }) =>
    notAfterMs === null ? null : notAfterMs / 1000,
  );
  const setLatency = registerLatency(registry);
  updates.push(({ latency }) => setLatency(latency));
  stateGauge('interface', 'Interfaces, by how the program is attached.', ['interface', 'mode'], ({ interfaces }) => {
    return interfaces.map(({ name, mode }) => ({ interface: name, mode }));
  });

  return {
    contentType: registry.contentType,
    text() {
      const now = gateway.status();
      backends = gateway.backendCounts(BACKEND_SERIES_MAX);
      for (const update of updates) update(now);
      return registry.metrics();
    },
  };
}
