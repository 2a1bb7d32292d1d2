/**
 * Who can read the files that hold secrets, and the keys in them. May be imported by src/gateway/commands/doctor.ts and tests.
 */
import { existsSync, statSync } from 'node:fs';
import type { KeyFields } from '../../auth/keyring.ts';
import type { Config } from '../config.ts';
import { readToken } from '../control/token.ts';
import { GatewayError, reasonOf } from '../errors.ts';
import { readKeys } from '../keys.ts';
import type { KeyInfo } from '../ports.ts';
import { type Finding, type FindingCode, finding, looked, ok } from './finding.ts';

const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;
/** A key that ends within this time is spoken of. */
const ENDS_SOON_MS = 14 * 86_400_000;
const DAY_MS = 86_400_000;

/** @param inForce keys that the daemon has; undefined where none answers @param nowMs Unix ms */
export function checkFiles(config: Config, inForce: readonly KeyInfo[] | undefined, nowMs: number): Finding[] {
  const { socket, tokenFile } = config.control;
  return [
    ...looked('configuration', 'see its permissions', () => checkConfigFile(config)),
    ...looked('key file', 'see its path and its permissions', () => checkKeyFile(config.keys, inForce, nowMs)),
    ...looked('control socket', 'see its permissions', () => (existsSync(socket) ? checkSocket(socket) : [])),
    ...(tokenFile === null ? [] : refusable('token-refused', 'token file', () => checkToken(tokenFile))),
  ];
}

function refusable(code: FindingCode, name: string, look: () => Finding): Finding[] {
  return looked(name, 'see its path and its permissions', () => {
    try {
      return look();
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return finding(code, name, reasonOf(error));
    }
  });
}

function checkConfigFile({ file, redis }: Config): Finding {
  const name = 'configuration';
  const hasPassword = redis.url.startsWith('unix:') ? false : Boolean(URL.parse(redis.url)?.password);
  if (hasPassword && has(file, OTHERS_READ)) {
    return finding('password-exposed', name, `${file} has a password, and everybody can read it`, { file });
  }
  const passwords = [redis.passwordFile, redis.sentinel?.passwordFile].filter((path) => typeof path === 'string');
  const open = passwords.filter((path) => existsSync(path) && has(path, OTHERS_READ));
  if (open.length === 0) return ok(name, file);
  const words = { file: open.join(' ') };
  return finding('password-exposed', name, `everybody can read the password in ${open.join(' and ')}`, words);
}

function checkSocket(file: string): Finding {
  const name = 'control socket';
  if (has(file, OTHERS_WRITE)) return finding('socket-exposed', name, `everybody can open ${file}`, { file });
  return ok(name, file);
}

function checkToken(file: string): Finding {
  readToken(file);
  return ok('token file', file);
}

function has(path: string, mode: number): boolean {
  return (statSync(path).mode & mode) !== 0;
}

function checkKeyFile(file: string, inForce: readonly KeyInfo[] | undefined, nowMs: number): Finding[] {
  const name = 'key file';
  let keys: KeyFields[];
  try {
    const ring = readKeys(file);
    keys = ring.toJSON();
    ring.wipe();
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return [finding('keys-refused', name, reasonOf(error))];
  }
  return checkKeys(file, keys, inForce, nowMs);
}

export function checkKeys(
  file: string,
  keys: readonly KeyFields[],
  inForce: readonly KeyInfo[] | undefined,
  nowMs: number,
): Finding[] {
  const name = 'key file';
  const findings: Finding[] = [];
  const isValid = ({ notBeforeMs, notAfterMs }: KeyFields): boolean =>
    (notBeforeMs ?? nowMs) <= nowMs && nowMs <= (notAfterMs ?? nowMs);
  if (keys.length === 0) findings.push(finding('keys-none', name, `${file} has no keys`));
  else if (!keys.some(isValid)) findings.push(finding('keys-none-valid', name, `${file} has no key that is valid now`));
  else findings.push(ok(name, `${file}, ${keys.length} ${keys.length === 1 ? 'key' : 'keys'}`));
  for (const key of keys) findings.push(...checkTimes(file, key, nowMs));
  const changed = inForce === undefined ? [] : differing(keys, inForce);
  if (changed.length > 0) {
    const found = `not in force as the file has them: keys ${changed.slice(0, 20).join(', ')}`;
    findings.push(finding('keys-not-reloaded', 'keys in force', found));
  }
  return findings;
}

function checkTimes(file: string, { id, name: keyName, notBeforeMs, notAfterMs }: KeyFields, nowMs: number): Finding[] {
  const name = `key ${id} ${keyName}`;
  const time = (ms: number): string => new Date(ms).toISOString();
  if (notAfterMs !== null && notAfterMs < nowMs)
    return [finding('key-ended', name, `ended at ${time(notAfterMs)}`, { file })];
  if (notAfterMs !== null && notAfterMs - nowMs < ENDS_SOON_MS) {
    const days = Math.floor((notAfterMs - nowMs) / DAY_MS);
    return [finding('key-ends-soon', name, `ends in ${days} days, at ${time(notAfterMs)}`)];
  }
  if (notBeforeMs !== null && notBeforeMs > nowMs)
    return [finding('key-not-begun', name, `begins at ${time(notBeforeMs)}`)];
  return [];
}

/** Ids of keys that only one side has, or that differ in what may be shown. */
function differing(file: readonly KeyFields[], inForce: readonly KeyInfo[]): number[] {
  const shown = ({ id, name, suite, encrypt, notBeforeMs, notAfterMs }: KeyFields): string =>
    JSON.stringify([id, name, suite, encrypt, notBeforeMs, notAfterMs]);
  const [a, b] = [new Set(file.map(shown)), new Set(inForce.map(shown))];
  const ids = [...file.filter((key) => !b.has(shown(key))), ...inForce.filter((key) => !a.has(shown(key)))];
  return [...new Set(ids.map(({ id }) => id))].sort((x, y) => x - y);
}
