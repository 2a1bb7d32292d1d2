/**
 * What Prometheus scrapes, in a registry of its own: names and units by Prometheus' conventions, labels from short lists
 * that nobody outside can lengthen. May be imported by src/gateway only.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Status } from '../ports.ts';

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

type Counts = Readonly<Record<string, number>>;

/** @param status read once a scrape */
export function createMetrics(status: () => Status): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const updates: ((now: Status) => void)[] = [];

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
  gauge('keys', 'Keys in force.', ({ keys }) => keys.length);
  stateGauge('interface', 'Interfaces, by how the program is attached.', ['interface', 'mode'], ({ interfaces }) => {
    return interfaces.map(({ name, mode }) => ({ interface: name, mode }));
  });

  return {
    contentType: registry.contentType,
    text() {
      const now = status();
      for (const update of updates) update(now);
      return registry.metrics();
    },
  };
}
