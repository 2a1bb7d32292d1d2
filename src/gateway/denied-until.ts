/** The end of a revocation that begins now. May be imported by src/gateway only. */
import { EXPIRES_MAX_MS } from '../sync/limits.ts';

/**
 * @param nowMs Unix ms
 * @param forMs null = for good
 * @returns Unix ms
 */
export function deniedUntil(nowMs: number, forMs: number | null): number {
  return forMs === null ? EXPIRES_MAX_MS : Math.min(nowMs + forMs, EXPIRES_MAX_MS);
}
