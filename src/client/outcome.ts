/** How an exchange ends. May be imported by src/client. */
import type { Answer } from './questions.ts';

/** TIMED_OUT: no authentic reply in time. REFUSED: no gateway could be asked. BUSY: too many lookups under way. */
export type UnreachableReason = 'TIMED_OUT' | 'REFUSED' | 'BUSY' | 'ABORTED';

export type Outcome<A extends Answer> =
  | { readonly kind: 'ANSWER'; readonly answer: A; readonly isStale: boolean; readonly server: string }
  /** `skewMs`: the gateway's clock minus this machine's, here and below. */
  | { readonly kind: 'CLOCK_SKEW'; readonly answer: A; readonly skewMs: number; readonly server: string }
  | { readonly kind: 'NOT_READY'; readonly answer: A; readonly skewMs: number; readonly server: string }
  | { readonly kind: 'UNREACHABLE'; readonly reason: UnreachableReason };

/** What an exchange has in hand that isn't a fresh answer. */
export type Kept<A extends Answer> = Exclude<Outcome<A>, { kind: 'UNREACHABLE' }>;

const PREFERENCE: readonly Kept<Answer>['kind'][] = ['ANSWER', 'CLOCK_SKEW', 'NOT_READY'];

/** The better one to end with: a stale answer, the fresher one, before a clock difference, before NOT_READY. */
export function betterOf<A extends Answer>(kept: Kept<A> | null, next: Kept<A>): Kept<A> {
  if (kept === null) return next;
  if (kept.kind === 'ANSWER' && next.kind === 'ANSWER') return next.answer.ageMs < kept.answer.ageMs ? next : kept;
  return PREFERENCE.indexOf(next.kind) < PREFERENCE.indexOf(kept.kind) ? next : kept;
}
