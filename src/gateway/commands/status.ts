/**
 * `gateway status`. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { LatencyCounts, Status } from '../ports.ts';
import { addCommand, type ConfigOption, type JsonOption, print, printJson } from './common.ts';
import { duration, number, printable, table } from './text.ts';

export function addStatus(program: Command): void {
  addCommand(program, 'status', {
    description: 'Show what the daemon is doing.',
    notes:
      'In JSON, "ready" is true once this daemon\'s own first load is in, "ageMs" says how long ago the sessions were last known to be in step with Redis (null = never), and "packets" has every verdict with the number of packets it was given. "latency" says how long answers took in the kernel, by status, of the packets that were timed: one in "sampledOneIn", since the maps were made.',
    example: 'gateway status --json | jq .packets',
  }).action(async ({ config, json }: ConfigOption & JsonOption) => {
    const { askConfigured } = await import('../control/ask.ts');
    const status = (await askConfigured(config, { method: 'GET', path: '/v1/status' })) as Status;
    if (json) printJson(status);
    else print(statusText(status, Date.now()));
  });
}

/** The overview for people. @param nowMs Unix ms */
export function statusText(status: Status, nowMs: number): string {
  const { version, pid, startedAt, sync } = status;
  const up = duration(Math.max(0, nowMs - Date.parse(startedAt)));
  const rows: [string, string][] = [
    ['gateway', `${version}, process ${pid}, up ${up}, ${readyText(status)}`],
    ['configuration', status.configFile],
    ['interfaces', status.interfaces.map(({ name, mode }) => `${name} (${mode})`).join(', ') || 'none'],
    ['answers on', `UDP port ${status.port} of ${status.addresses.join(', ') || 'no address'}`],
    ['sessions', sessionsText(status)],
    ['age', status.ageMs === null ? 'never in step with Redis' : `in step with Redis ${duration(status.ageMs)} ago`],
    ['redis', `${status.redis}, ${sync.state}${loadText(status)}`],
    status.sync.notifications === null
      ? ['feed', feedText(status)]
      : ['notifications', notificationsText(status.sync.notifications)],
    ['backends', backendsText(status)],
    ['denied', readingText(sync.denied, 'sessions', sync.changes['deniedRefused'])],
    ['facts', readingText(sync.facts, '', sync.changes['factsRefused'])],
    ['keys', keysText(status)],
  ];
  const { lastError } = sync;
  if (lastError !== null) {
    rows.push([
      'last failure',
      `${duration(Math.max(0, nowMs - lastError.timeMs))} ago: ${printable(lastError.message)}`,
    ]);
  }
  const problems = counted(sync.problems);
  if (problems.length > 0)
    rows.push([
      'problems',
      `${problems.map(([kind, count]) => `${kind} ${number(count)}`).join(', ')}, since the start`,
    ]);
  const timed = Object.entries(status.latency.byStatus).filter(([, { count }]) => count > 0);
  if (timed.length > 0) rows.push(['latency', timed.map(([name, counts]) => latencyText(name, counts)).join(', ')]);
  const packets = counted(status.packets);
  const packetText =
    packets.length === 0
      ? 'packets  none yet'
      : `packets\n${table(packets.map(([name, count]) => [`  ${name}`, count]))}`;
  return `${table(rows)}\n${packetText}`;
}

/** The kernel goes on answering without Redis, from what it holds. */
function readyText({ ready, ageMs, sync: { state } }: Status): string {
  if (!ready) return 'NOT READY: the first load is not finished';
  if (state !== 'connecting') return 'ready';
  return `ready, but NOT CONNECTED to Redis${ageMs === null ? '' : ` for ${duration(ageMs)}`}`;
}

function counted(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).filter(([, count]) => count > 0);
}

function latencyText(name: string, { p50Ns, p99Ns }: LatencyCounts): string {
  return `${name} ${number(p50Ns ?? 0)} ns (99 %: ${number(p99Ns ?? 0)} ns)`;
}

function sessionsText({ sessions, capacity, refused }: Status): string {
  const share = ((100 * sessions) / capacity).toFixed(1);
  const lost =
    refused === 0
      ? ''
      : `; ${number(refused)} REFUSED since the table was made, because it was full: raise sessions.capacity`;
  return `${number(sessions)} of ${number(capacity)} (${share} %)${lost}`;
}

function loadText({ sync: { resync } }: Status): string {
  return resync === null ? '' : ` (full load for ${resync.reason}: ${number(resync.sessions)} sessions so far)`;
}

function feedText({ sync: { position, lagEntries, entries } }: Status): string {
  const applied = counted(entries).map(([op, count]) => `${op} ${number(count)}`);
  const lag = lagEntries === null ? [] : [`${number(lagEntries)} behind`];
  return [`at ${position ?? 'nothing yet'}`, ...lag, ...applied].join(', ');
}

function notificationsText({ missing, pending, events, reads }: NonNullable<Status['sync']['notifications']>): string {
  const found = `${number(events)} received, ${number(reads)} keys read, ${number(pending)} waiting`;
  if (missing === '') return found;
  if (missing === null) return `${found}; not known whether Redis sends all that is needed`;
  return `REDIS DOES NOT SEND ${printable(missing)}: only full comparisons find changes; see gateway doctor`;
}

function backendsText({ sync: { backends } }: Status): string {
  const unknown = backends.unknown.map(({ name, records }) => `${printable(name)} (${number(records)} sessions)`);
  const faults = backends.faults.map(({ name, message, keepsLastGood }) => {
    return `${printable(name)}: ${printable(message)}${keepsLastGood ? ' (its users stay, nobody else is sent there)' : ''}`;
  });
  return [
    backends.known === 0 ? 'NONE KNOWN: no session is found' : `${number(backends.known)} known`,
    ...(unknown.length > 0 ? [`UNKNOWN, but named by sessions: ${unknown.slice(0, 5).join(', ')}`] : []),
    ...(faults.length > 0 ? [`WRONG: ${faults.slice(0, 5).join(', ')}`] : []),
  ].join('; ');
}

function readingText(reading: Status['sync']['denied'], what: string, refused = 0): string {
  if (reading === null) return 'not read yet';
  return [
    `${number(reading.entries)} ${what}`.trim(),
    ...(reading.malformed > 0 ? [`${number(reading.malformed)} WRONG and left out`] : []),
    ...(refused > 0 ? [`${number(refused)} REFUSED since the start, because the table was full`] : []),
  ].join('; ');
}

function keysText({ keys }: Status): string {
  if (keys.length === 0) return 'none: nobody can ask';
  return keys.map(({ id, name, valid }) => `${id} ${name}${valid ? '' : ' (not valid now)'}`).join(', ');
}
