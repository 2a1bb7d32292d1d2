/**
 * The query of `GET /v1/trace` as a filter. Imported by routes.ts alone.
 */
import { KEY_ID_MAX } from '../../auth/keyring.ts';
import { networkBytes } from '../addresses.ts';
import { failure } from '../errors.ts';
import type { TraceFilter } from '../ports.ts';
import { isVerdictName, VERDICT_NAMES } from '../verdict-names.ts';

/** @throws GatewayError REQUEST_INVALID */
export function traceFilter(query: Readonly<Record<string, string>>): TraceFilter {
  const { verdict, key, source, sample } = query;
  const verdicts = verdict === undefined ? VERDICT_NAMES : verdict.split(',');
  const wrong = verdicts.find((name) => !isVerdictName(name));
  if (wrong !== undefined) refuse('verdict', wrong, `names with commas between, of ${VERDICT_NAMES.join(', ')}`);
  const keyId = key === undefined ? null : Number(key);
  if (keyId !== null && (keyId < 1 || keyId > KEY_ID_MAX)) refuse('key', key, `1 to ${KEY_ID_MAX}`);
  const oneIn = sample === undefined ? 1 : Number(sample);
  if (oneIn < 1) refuse('sample', sample, '1 to 999999999: of so many packets one is shown');
  return { verdicts: verdicts.filter(isVerdictName), keyId, source: network(source), oneIn };
}

function network(text: string | undefined): TraceFilter['source'] {
  if (text === undefined) return null;
  try {
    return networkBytes(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`);
  } catch {
    return refuse('source', text, 'an IP address, or a network as 192.0.2.0/24');
  }
}

function refuse(name: string, found: string | undefined, allowed: string): never {
  throw failure('REQUEST_INVALID', { reason: `${name}: found ${JSON.stringify(found)}; allowed: ${allowed}` });
}
