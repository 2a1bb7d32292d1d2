/** What becomes of packets, brought into the few groups that are drawn, and how much of each there is a second. Pure. */

/** In the order in which they are drawn, from the bottom. `verdicts` are names of the status, or what they begin with. */
export const GROUPS = [
  { id: 'found', label: 'Found', verdicts: ['REPLY_FOUND'] },
  { id: 'moved', label: 'Moved', verdicts: ['REPLY_MOVED'] },
  { id: 'placed', label: 'Placed', verdicts: ['REPLY_PLACED'] },
  { id: 'missing', label: 'Not found', verdicts: ['REPLY_NOT_FOUND'] },
  { id: 'denied', label: 'Denied', verdicts: ['REPLY_DENIED'] },
  { id: 'later', label: 'Not now', verdicts: ['REPLY_CLOCK_SKEW', 'REPLY_NOT_READY'] },
  { id: 'dropped', label: 'Dropped', verdicts: ['DROP_*', 'ABORTED'] },
];

const WORDS = {
  found: 'stored, and answered with its backend',
  moved: 'stored on a backend that drains, sheds or is down: answered with another',
  placed: 'not stored: answered with where every gateway would place it',
  missing: 'not stored, and no backend to place it on',
  denied: 'revoked',
  later: 'the asker’s clock is off, or the first load isn’t in',
  dropped: 'not genuine, not allowed or not well-formed: no answer',
};

export function explained(id) {
  return WORDS[id];
}

/** @returns the group's id; undefined = left to the host */
function groupOf(verdict) {
  return GROUPS.find(({ verdicts }) =>
    verdicts.some((name) => (name.endsWith('*') ? verdict.startsWith(name.slice(0, -1)) : name === verdict)),
  )?.id;
}

/** Counters by verdict as counters by group: the kernel's, and the daemon's own for what the kernel left to it. */
export function grouped({ packets, responder }) {
  const sums = Object.fromEntries(GROUPS.map(({ id }) => [id, 0]));
  for (const [verdict, count] of [packets, responder ?? {}].flatMap(Object.entries)) {
    const id = groupOf(verdict);
    if (id !== undefined) sums[id] += count;
  }
  return sums;
}

/**
 * A second, between two readings.
 * @param before,after of `packets` and `responder` of the status, and `atMs` of a clock that never goes back
 * @returns by group; null where the counters were made anew, or no time went by
 */
export function ratesBetween(before, after) {
  const inSeconds = (after.atMs - before.atMs) / 1000;
  const [from, to] = [grouped(before), grouped(after)];
  if (!(inSeconds > 0) || GROUPS.some(({ id }) => to[id] < from[id])) return null;
  return Object.fromEntries(GROUPS.map(({ id }) => [id, (to[id] - from[id]) / inSeconds]));
}

export function total(rates) {
  return GROUPS.reduce((sum, { id }) => sum + rates[id], 0);
}

/** Of lookups for which it is decided by the table, denied ones left out, the part that found a live record; null where there was none. */
export function hitRatio(rates) {
  const hits = rates.found + rates.moved;
  const lookups = hits + rates.placed + rates.missing;
  return lookups === 0 ? null : hits / lookups;
}
