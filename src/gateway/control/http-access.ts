/**
 * The control API over TCP as the configuration asks for it: where, and whose token. May be imported by src/gateway only.
 */
import type { Config } from '../config.ts';
import { Admission } from './admission.ts';
import type { HttpAccess } from './server.ts';
import { readToken } from './token.ts';

export interface ConfiguredHttp extends HttpAccess {
  /**
   * Reads the token file again.
   * @returns puts what was read in force
   * @throws GatewayError TOKEN_FILE_INVALID; the token in force stays
   */
  readTokenAgain(): () => void;
}

/**
 * @param nowMs monotonic
 * @returns null where the configuration doesn't ask for it
 * @throws GatewayError TOKEN_FILE_INVALID
 */
export function httpAccess({ control }: Config, nowMs: () => number): ConfiguredHttp | null {
  const { http, tokenFile } = control;
  if (http === null) return null;
  // The configuration refuses one without the other.
  if (tokenFile === null) throw new RangeError('control.tokenFile: found null; allowed: a path');
  const admission = new Admission(readToken(tokenFile), nowMs);
  return {
    ...http,
    admission,
    readTokenAgain() {
      const token = readToken(tokenFile);
      return () => admission.replace(token);
    },
  };
}
