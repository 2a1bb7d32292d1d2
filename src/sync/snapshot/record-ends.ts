/**
 * What record.lua returns as a session's end: Unix ms, or one of these marks. May be imported by src/sync only.
 */

export const NEVER = -1;
export const GONE = -2;
export const OTHER_TYPE = -3;
export const TOO_LONG = -4;
/** Another node of the cluster has the key. */
export const ELSEWHERE = -5;

/** Whether it can be one, with a value beside it or without: of a key that is elsewhere nobody here has one. */
export function isEnd(ends: unknown, hasValue: boolean): ends is number {
  return typeof ends === 'number' && ends >= (hasValue ? TOO_LONG : ELSEWHERE);
}
