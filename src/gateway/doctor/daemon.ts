/**
 * What the daemon says of itself, twice, a moment apart, so that what goes on is told from what is over. May be imported by
 * src/gateway/commands/doctor.ts and tests.
 */
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import { GatewayError, reasonOf } from '../errors.ts';
import type { Status, VerdictName } from '../ports.ts';
import { VERSION } from '../version.ts';
import { type Finding, type FindingCode, finding, ok, pastFinding } from './finding.ts';

/** Of the capacity. */
const NEARLY_FULL = 0.85;
/** The heap is bounded to 256 MB (bin/gateway); docs/benchmarks.md has what is usual. */
const RESIDENT_MAX_MB = 512;

/** What asking the daemon came to. */
export type DaemonAnswer =
  | { readonly before: Status; readonly now: Status }
  /** Why there is none. */
  | { readonly error: unknown };

/** @param pid of its process; undefined where that can't be seen from here */
export function checkDaemon(config: Config, answer: DaemonAnswer, pid: number | undefined): Finding[] {
  if ('error' in answer) return [checkSilence(answer.error)];
  const { before, now: status } = answer;
  return [
    ...checkState(config, status),
    ...checkTable(status),
    ...checkLeftOut(status),
    ...checkUnknownBackends(status),
    ...(pid === undefined ? [] : checkResident(pid)),
    ...checkRequests(before.packets, status.packets),
  ];
}

function checkSilence(error: unknown): Finding {
  const name = 'daemon';
  const code = error instanceof GatewayError ? error.code : undefined;
  if (code === 'DAEMON_NOT_RUNNING') return finding('daemon-away', name, 'none answers on control.socket');
  if (code === 'DAEMON_UNREACHABLE') return finding('daemon-unreachable', name, reasonOf(error));
  return finding('daemon-not-understood', name, reasonOf(error));
}

function checkState(config: Config, status: Status): Finding[] {
  const { version, pid, ready, ageMs, configFile, sync } = status;
  const name = 'daemon';
  const findings: Finding[] = [];
  const last = sync.lastError === null ? '' : `; last failure: ${sync.lastError.message}`;
  if (sync.state === 'connecting')
    findings.push(finding('daemon-not-connected', name, `process ${pid} is not connected to Redis${last}`));
  if (!ready && sync.state !== 'connecting') {
    const found = `first load under way, ${sync.resync?.sessions ?? 0} sessions so far${last}`;
    findings.push(finding('daemon-not-ready', name, found));
  }
  if (ready && (ageMs === null || ageMs > config.listen.staleAfterMs)) {
    const age = ageMs === null ? 'never in step with Redis' : `in step with Redis ${Math.round(ageMs / 1000)} s ago`;
    findings.push(finding('daemon-stale', 'age', `${age}${last}`));
  } else if (ageMs !== null) findings.push(ok('age', `in step with Redis ${ageMs} ms ago`));
  if (version !== VERSION)
    findings.push(finding('daemon-of-another-version', name, `version ${version}; this command is ${VERSION}`));
  if (configFile !== config.file)
    findings.push(finding('daemon-of-another-configuration', name, `it was started with ${configFile}`));
  if (ready && sync.state !== 'connecting')
    findings.unshift(ok(name, `version ${version}, process ${pid}, ${sync.state}`));
  return findings;
}

function checkTable({ sessions, capacity, refused }: Status): Finding[] {
  const name = 'sessions';
  const found = `${sessions} of ${capacity}${refused > 0 ? `, ${refused} refused since the table was made` : ''}`;
  if (sessions >= capacity) return [finding('table-full', name, found)];
  if (sessions >= capacity * NEARLY_FULL) return [finding('table-nearly-full', name, found)];
  return [refused > 0 ? finding('table-was-full', name, found) : ok(name, found)];
}

function checkLeftOut({ sync }: Status): Finding[] {
  const name = 'revocations';
  const refused = sync.changes['deniedRefused'] ?? 0;
  const malformed = sync.denied?.malformed ?? 0;
  if (refused === 0 && malformed === 0) return [];
  return [
    finding('revocations-left-out', name, `${refused} found no room since the start, ${malformed} are malformed`),
  ];
}

function checkUnknownBackends({ sync }: Status): Finding[] {
  const { unknown } = sync.backends;
  if (unknown.length === 0) return [];
  const named = unknown.slice(0, 10).map(({ name, records }) => `${name} (${records} sessions)`);
  return [finding('backends-unknown', 'backends', `named by sessions only: ${named.join(', ')}`)];
}

function checkResident(pid: number): Finding[] {
  try {
    const [, kilobytes] = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    if (kilobytes === undefined) return [];
    const megabytes = Math.ceil(Number(kilobytes) / 1024);
    const found = `${megabytes} MB resident`;
    return [
      megabytes > RESIDENT_MAX_MB
        ? finding('daemon-large', 'daemon memory', found, { most: RESIDENT_MAX_MB })
        : ok('daemon memory', found),
    ];
  } catch {
    // It has ended meanwhile.
    return [];
  }
}

const REQUESTS: readonly (readonly [FindingCode, string, readonly VerdictName[]])[] = [
  ['requests-forged', 'that are not authentic', ['DROP_GUARD']],
  ['requests-wrong-tags', 'with a right guard and a wrong tag', ['DROP_TAG']],
  ['requests-of-unknown-keys', 'with a key that is not known', ['DROP_KEY_UNKNOWN']],
  ['requests-outside-key-times', 'outside the times of their key', ['DROP_KEY_TIME']],
  ['requests-skewed', 'outside the skew', ['REPLY_CLOCK_SKEW', 'DROP_SKEW_BUDGET']],
  ['requests-from-elsewhere', 'from elsewhere than listen.allow', ['DROP_SOURCE']],
  ['requests-left-to-host', 'left to the host', ['PASS_SLOW_PATH']],
  ['program-aborted', 'that the program gave up', ['ABORTED']],
];

/** @param before by verdict @param now a moment later */
export function checkRequests(before: Status['packets'], now: Status['packets']): Finding[] {
  const findings = REQUESTS.flatMap(([code, what, verdicts]) => {
    const sum = (packets: Status['packets']): number => verdicts.reduce((all, name) => all + (packets[name] ?? 0), 0);
    const all = sum(now);
    const since = all - sum(before);
    if (all === 0) return [];
    const found = `${all} ${what} since the maps were made, ${since} of them just now`;
    return [since > 0 ? finding(code, 'requests', found) : pastFinding(code, 'requests', found)];
  });
  return findings.length > 0 ? findings : [ok('requests', 'none was refused')];
}
