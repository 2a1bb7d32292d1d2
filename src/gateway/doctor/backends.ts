/**
 * The table of backends in Redis. May be imported by src/gateway/commands/doctor.ts and tests.
 */
import type { RedisConfig } from '../../sync/redis/redis-options.ts';
import type { Config } from '../config.ts';
import { RedisDirectory } from '../directory.ts';
import { reasonOf } from '../errors.ts';
import type { BackendList } from '../ports.ts';
import { type Finding, finding, ok } from './finding.ts';

/** Entries that are wrong and are named each. */
const NAMED_MAX = 20;

export async function checkBackends(config: Config, access: RedisConfig): Promise<Finding[]> {
  const directory = new RedisDirectory(config, access);
  try {
    return judgeBackends(await directory.backends());
  } catch (error) {
    return [finding('backends-unread', 'backends', reasonOf(error))];
  } finally {
    await directory.close();
  }
}

export function judgeBackends({ backends, faults }: BackendList): Finding[] {
  const name = 'backends';
  const wrong = faults.slice(0, NAMED_MAX).map((fault) => {
    return finding('backend-wrong', `backend ${fault.name}`, fault.message, { name: fault.name });
  });
  if (faults.length > NAMED_MAX)
    wrong.push(finding('backend-wrong', name, `${faults.length - NAMED_MAX} more entries are wrong`, { name: 'NAME' }));
  if (backends.length === 0) return [...wrong, finding('backends-none', name, 'there are none that can be used')];
  const placed = backends.filter(({ state, weight }) => state === 'active' && weight > 0);
  const found = `${placed.length} of ${backends.length} active with a weight`;
  if (placed.length === 0) return [...wrong, finding('backends-none-active', name, found)];
  if (placed.every(({ shed }) => shed > 0)) return [...wrong, finding('backends-all-shed', name, `${found}; all shed`)];
  return [...wrong, ok(name, found)];
}
