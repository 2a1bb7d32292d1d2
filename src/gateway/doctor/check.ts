/**
 * One thing that `gateway doctor` looks at. May be imported by src/gateway/doctor and its command.
 */
import { GatewayError, reasonOf } from '../errors.ts';

export interface Check {
  readonly name: string;
  /** `warn`: it works, but not as it could, or not for long; `fail`: it doesn't work. */
  readonly result: 'ok' | 'warn' | 'fail';
  readonly found: string;
  /** What to do; null where nothing is to be done. */
  readonly advice: string | null;
}

export function ok(name: string, found: string): Check {
  return { name, result: 'ok', found, advice: null };
}

export function warn(name: string, found: string, advice: string): Check {
  return { name, result: 'warn', found, advice };
}

export function fail(name: string, found: string, advice: string): Check {
  return { name, result: 'fail', found, advice };
}

/** What `look` finds; what it throws is a failure. @param advice for an error that has none of its own */
export function checked(name: string, advice: string, look: () => Check): Check {
  try {
    return look();
  } catch (error) {
    return error instanceof GatewayError
      ? fail(name, error.message, 'see docs/errors.md')
      : fail(name, reasonOf(error), advice);
  }
}
