/**
 * How much load each backend should have at most, as given on the command line. May be imported by src/gateway only.
 */
import { failure } from '../errors.ts';

/** Most load of one backend. */
export type Target =
  | { readonly in: 'load'; readonly most: number }
  /** Relative to what each would have if all active backends had the same. */
  | { readonly in: 'percent'; readonly most: number };

export interface Targets {
  /** Of those that are not named. */
  readonly all: Target;
  readonly byName: ReadonlyMap<string, Target>;
}

const ALLOWED = 'a load over 0 as 1000, or a percentage of the average as 125 %; also NAME=LOAD for one backend';

/**
 * @param texts `1000` or `125%` once, and `NAME=1000` for backends with a target of their own
 * @throws GatewayError USAGE_INVALID
 */
export function parseTargets(texts: readonly string[]): Targets {
  let all: Target | undefined;
  const byName = new Map<string, Target>();
  for (const text of texts) {
    const at = text.lastIndexOf('=');
    if (at > 0) byName.set(text.slice(0, at), parseTarget(text.slice(at + 1), text));
    else if (all === undefined) all = parseTarget(text, text);
    else throw invalid(`found two targets for all backends, allowed: one, and NAME=LOAD for those that differ`);
  }
  if (all === undefined) throw invalid(`found no target for all backends, allowed: ${ALLOWED}`);
  return { all, byName };
}

function parseTarget(text: string, shown: string): Target {
  const match = /^(\d{1,15}(?:\.\d{1,9})?) ?(%?)$/.exec(text);
  const most = Number(match?.[1]);
  if (match === null || most === 0) throw invalid(`found ${JSON.stringify(shown)}, allowed: ${ALLOWED}`);
  return { in: match[2] === '%' ? 'percent' : 'load', most };
}

function invalid(problem: string) {
  return failure('USAGE_INVALID', { problem: `--target: ${problem}`, help: 'gateway balance' });
}

/**
 * @param average load of all, divided by the number of active backends
 * @throws GatewayError USAGE_INVALID where a target is for a backend that isn't there
 */
export function targetsOf(names: readonly string[], { all, byName }: Targets, average: number): number[] {
  for (const name of byName.keys()) {
    if (!names.includes(name)) throw invalid(failure('BACKEND_UNKNOWN', { name, names }).message);
  }
  return names.map((name) => {
    const target = byName.get(name) ?? all;
    return target.in === 'load' ? target.most : (target.most / 100) * average;
  });
}
