/** What Prometheus gets of a daemon that serves: read by a real parser, held to its rules, and over restarts. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { LatencyStatus } from '../../src/gateway/ports.ts';
import { until } from '../e2e/until.ts';
import { ROOT, readAlerts, readDashboard } from './dashboards.ts';
import { asPrometheusGetsIt, dashboardQueries, parseQuery } from './queries.ts';
import { type Family, families, type Series, scrapeText, seriesKey } from './scrape.ts';

const BOUND_MS = 60_000;
const LOOKUPS = 400;
const APP_1 = { backend: 'app-1', id: '1' };

let stage: Stage;
let redis: Redis;
let client: LookupClient;
let first: Map<string, Family>;

beforeAll(async () => {
  stage = new Stage({ name: `sgwobs-${process.pid}`, capacity: 1_000 });
  const [key] = stage.writeKeys([randomKey(1), randomKey(2)]) as [Key, Key];
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  const feed = 'sessions:feed';
  const backend = JSON.stringify({ id: 1, address: '10.1.0.1:80' });
  await redis.fcall('backend_patch', 2, 'gateway:backends', feed, 'app-1', backend);
  await redis.fcall('session_set', 2, 'sess:s1', feed, 's1', 'app-1', 3_600_000);
  client = createLookupClient({
    servers: [{ host: GATEWAY_IPV4, port: stage.port }],
    key,
    timeoutMs: 10_000,
    tryTimeoutMs: 10_000,
  });
  await stage.startGateway();
  await ask();
  // Backends that are in force are told, and sessions counted on them, a moment later.
  await until(async () => sampleOf(await scrape(), 'session_gateway_backend_sessions', APP_1) === 1, BOUND_MS);
  first = await scrape();
});
afterAll(async () => {
  await client?.close();
  redis?.disconnect();
  await stage?.close();
});

async function ask(): Promise<void> {
  for (let i = 0; i < LOOKUPS; i++)
    expect((await client.lookup(i % 4 === 0 ? 'nobody' : 's1')).status).toMatch(/FOUND/);
}

const scrape = async (): Promise<Map<string, Family>> =>
  families(await scrapeText(join(stage.directory, 'gateway.sock')));
const own = (scraped: ReadonlyMap<string, Family>): [string, Family][] =>
  [...scraped].filter(([name]) => name.startsWith('session_gateway_'));
const sampleOf = (scraped: ReadonlyMap<string, Family>, name: string, labels: Record<string, string>): number => {
  const family = scraped.get(name) ?? scraped.get(name.replace(/_(bucket|sum|count)$/, ''));
  const wanted = seriesKey({ name, labels, value: 0 });
  return family?.series.find((series) => seriesKey(series) === wanted)?.value ?? Number.NaN;
};

describe('one scrape', () => {
  test('names, types and units are by the conventions', () => {
    expect(own(first).length).toBeGreaterThan(30);
    for (const [name, { type, help }] of own(first)) {
      expect(['counter', 'gauge', 'histogram'], name).toContain(type);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name, name).not.toMatch(/_(ms|ns|percent|milliseconds|count|sum|bucket)$/);
      expect(help, name).toMatch(/^\S.*\.$/);
    }
  });

  test('Prometheus itself has nothing against it', async () => {
    const text = await scrapeText(join(stage.directory, 'gateway.sock'));
    const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    // What it would have named otherwise in prom-client's own metrics is not ours.
    expect(stderr.split('\n').filter((line) => !/^(nodejs|process)_|^$/.test(line))).toEqual([]);
    expect([0, 3]).toContain(status);
  });

  test('no series is there twice, and every value is a number', () => {
    for (const [name, { series }] of first) {
      const keys = series.map(seriesKey);
      expect(new Set(keys).size, name).toBe(keys.length);
      if (name.startsWith('session_gateway_'))
        for (const { value } of series) expect(value, name).toSatisfy(Number.isFinite);
    }
  });

  test('labels come from short lists, and none is a session or a secret', () => {
    for (const [name, { series }] of own(first)) expect(series.length, name).toBeLessThan(250);
    expect(JSON.stringify([...first])).not.toMatch(/"s1"|nobody/);
  });

  test('histograms: bounds go up, counts never down, the last is the count', () => {
    const histogram = first.get('session_gateway_lookup_duration_seconds');
    const statuses = new Set(histogram?.series.map(({ labels }) => labels['status']));
    expect([...statuses].sort()).toEqual(['BATCH', 'CLOCK_SKEW', 'DENIED', 'FOUND', 'NOT_FOUND', 'NOT_READY']);
    for (const status of statuses) {
      const of = (suffix: string): Series[] =>
        histogram?.series.filter(({ name, labels }) => name.endsWith(suffix) && labels['status'] === status) ?? [];
      const buckets = of('_bucket').map(({ labels, value }) => ({
        le: Number(labels['le']?.replace('+Inf', 'Infinity')),
        value,
      }));
      expect(buckets.length).toBeGreaterThan(20);
      for (const [i, { le, value }] of buckets.entries()) {
        expect(le).toBeGreaterThan(buckets[i - 1]?.le ?? 0);
        expect(value).toBeGreaterThanOrEqual(buckets[i - 1]?.value ?? 0);
      }
      const count = of('_count')[0]?.value ?? Number.NaN;
      expect(buckets.at(-1)).toEqual({ le: Number.POSITIVE_INFINITY, value: count });
      expect((of('_sum')[0]?.value ?? Number.NaN) > 0).toBe(count > 0);
    }
  });

  test('what was asked is counted: by verdict, key, backend, and a part of it timed', () => {
    const found = sampleOf(first, 'session_gateway_packets_total', { verdict: 'REPLY_FOUND' });
    const placed = sampleOf(first, 'session_gateway_packets_total', { verdict: 'REPLY_PLACED' });
    expect([found, placed]).toEqual([(LOOKUPS * 3) / 4, LOOKUPS / 4]);
    expect(sampleOf(first, 'session_gateway_key_requests_total', { key_id: '1', name: 'key-1' })).toBe(LOOKUPS);
    expect(sampleOf(first, 'session_gateway_key_requests_total', { key_id: '2', name: 'key-2' })).toBe(0);
    expect(sampleOf(first, 'session_gateway_backend_lookups_total', APP_1)).toBe(LOOKUPS);
    expect(sampleOf(first, 'session_gateway_backend_sessions', APP_1)).toBe(1);
    const timed = ['FOUND', 'NOT_FOUND'].map((status) =>
      sampleOf(first, 'session_gateway_lookup_duration_seconds_count', { status }),
    );
    expect(timed.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(LOOKUPS);
  });
});

/** What is wrong with an expression, by what this daemon exports. */
function faultsOf(expression: string): string[] {
  const { selectors, groupedBy } = parseQuery(asPrometheusGetsIt(expression));
  const known = new Set(SCRAPE_LABELS);
  const faults = selectors.flatMap(({ metric, labels }) => {
    if (metric === 'up') return [];
    const name = first.has(metric) ? metric : metric.replace(/_(bucket|sum|count)$/, '');
    const family = first.get(name);
    if (family === undefined || (family.type === 'histogram') !== (name !== metric)) return [`no metric ${metric}`];
    const declared = LABELS_WITHOUT_SERIES[name] ?? family.series.flatMap(({ labels }) => Object.keys(labels));
    for (const label of declared) known.add(label);
    return labels.flatMap((label) => {
      if (!SCRAPE_LABELS.includes(label.name) && !declared.includes(label.name))
        return [`${metric} has no ${label.name}`];
      return missingValues(family, label);
    });
  });
  return [...faults, ...groupedBy.filter((label) => !known.has(label)).map((label) => `nothing has ${label}`)];
}

/** Values of labels that are names of the program's; of others, a daemon that does as it should shows one of several. */
function missingValues(
  family: Family,
  { name, operator, value }: { name: string; operator: string; value: string },
): string[] {
  const values = LABEL_VALUES[name];
  if (values === undefined) return [];
  const all = [...values, ...family.series.map(({ labels }) => labels[name] ?? '')];
  const wanted =
    operator.endsWith('~') && !/[.*+?[\](){}]/.test(value) ? value.split('|') : operator.endsWith('~') ? [] : [value];
  const none = operator === '=~' && !all.some((one) => new RegExp(`^(?:${value})$`).test(one)) ? [value] : [];
  return [...wanted.filter((one) => !all.includes(one)), ...none].map((one) => `no ${name} is ${one}`);
}

/** Prometheus' own. */
const SCRAPE_LABELS = ['job', 'instance'];
/** Of families that a daemon in good order has no series of. */
const LABELS_WITHOUT_SERIES: Readonly<Record<string, string[]>> = {
  session_gateway_key_not_after_timestamp_seconds: ['key_id', 'name'],
  session_gateway_key_not_before_timestamp_seconds: ['key_id', 'name'],
  session_gateway_notifications_missing: [],
  session_gateway_notifications_pending: [],
};
const LABEL_VALUES: Readonly<Record<string, readonly string[]>> = {
  verdict: [],
  status: [],
  reason: [],
  op: [],
  state: ['connecting', 'loading', 'resyncing', 'following', 'active', 'draining', 'down'],
  mode: ['native', 'generic', 'missing'],
};

describe('dashboard and alerts ask for what there is', () => {
  test.each(dashboardQueries(readDashboard()))('$where: $expression', ({ expression }) => {
    expect(faultsOf(expression)).toEqual([]);
  });

  test.each(readAlerts())('$alert', ({ expr }) => {
    expect(faultsOf(expr)).toEqual([]);
  });

  test.each([
    ['session_gateway_session', 'no metric session_gateway_session'],
    ['rate(session_gateway_packets_total{verdicts="DROP_TAG"}[5m])', 'session_gateway_packets_total has no verdicts'],
    ['session_gateway_packets_total{verdict="DROP_TAGS"}', 'no verdict is DROP_TAGS'],
    ['session_gateway_packets_total{verdict=~"DROP_TAG|DROP_GUARDS"}', 'no verdict is DROP_GUARDS'],
    ['session_gateway_packets_total{verdict=~"DROPPED_.*"}', 'no verdict is DROPPED_.*'],
    ['sum by (verdicts) (session_gateway_packets_total)', 'nothing has verdicts'],
    [
      'histogram_quantile(0.9, rate(session_gateway_lookup_duration_seconds[5m]))',
      'no metric session_gateway_lookup_duration_seconds',
    ],
    ['session_gateway_sessions_bucket', 'no metric session_gateway_sessions_bucket'],
    ['session_gateway_sync_state{state="folowing"}', 'no state is folowing'],
  ])('a misspelt one is noticed: %s', (expression, fault) => {
    expect(faultsOf(expression)).toContain(fault);
  });
});

test('gateway status --json has the same times', async () => {
  const { latency } = (await stage.status()) as { latency: LatencyStatus };
  const scraped = await scrape();
  expect(latency.sampledOneIn).toBe(64);
  for (const [status, { count, sumNs, buckets, p50Ns, p99Ns }] of Object.entries(latency.byStatus)) {
    expect(sampleOf(scraped, 'session_gateway_lookup_duration_seconds_count', { status })).toBe(count);
    expect(sampleOf(scraped, 'session_gateway_lookup_duration_seconds_sum', { status })).toBeCloseTo(sumNs / 1e9, 12);
    expect(buckets.reduce((sum, [, inBucket]) => sum + inBucket, 0)).toBe(count);
    expect([p50Ns === null, p99Ns === null]).toEqual([count === 0, count === 0]);
    expect((p50Ns ?? 0) <= (p99Ns ?? 0)).toBe(true);
  }
});

test('docs/metrics.md names every metric that there is, and no other', () => {
  const table = readFileSync(`${ROOT}docs/metrics.md`, 'utf8').split('## What there is')[1]?.split('\n## ')[0] ?? '';
  const rows = [...table.matchAll(/^\| (`[^|]*`) \|/gm)].map(([, cell = '']) => cell);
  const named = rows.flatMap((cell) => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, name]) => `session_gateway_${name}`));
  expect(named.sort()).toEqual(
    own(first)
      .map(([name]) => name)
      .sort(),
  );
});

test('counters never go back, from scrape to scrape; those of the kernel not over a restart either', async () => {
  const growing = (scraped: ReadonlyMap<string, Family>, names?: RegExp) =>
    own(scraped)
      .filter(([name, { type }]) => type !== 'gauge' && (names === undefined || names.test(name)))
      .flatMap(([, { series }]) => series);
  const expectGrown = (before: readonly Series[], after: readonly Series[]): void => {
    const now = new Map(after.map((series) => [seriesKey(series), series.value]));
    expect(before.length).toBeGreaterThan(20);
    for (const series of before) {
      expect(now.get(seriesKey(series)) ?? Number.NaN, seriesKey(series)).toBeGreaterThanOrEqual(series.value);
    }
  };
  await ask();
  const second = await scrape();
  expectGrown(growing(first), growing(second));
  expect(sampleOf(second, 'session_gateway_key_requests_total', { key_id: '1', name: 'key-1' })).toBe(2 * LOOKUPS);

  await stage.stopGateway('SIGKILL');
  await ask();
  await stage.startGateway();
  await until(async () => (await scrape()).get('session_gateway_backend_lookups_total')?.series.length === 1, BOUND_MS);
  const third = await scrape();
  const kernels = /_(packets|key_requests|backend_lookups|sessions_refused)_total$|_lookup_duration_seconds$/;
  expectGrown(growing(second, kernels), growing(third, kernels));
  expect(sampleOf(third, 'session_gateway_key_requests_total', { key_id: '1', name: 'key-1' })).toBe(3 * LOOKUPS);
});
