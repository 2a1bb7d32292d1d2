/**
 * How many users a change of what a backend sheds moves, and where to, before it is made. Pure.
 *
 * Who is shed is decided by bytes of the user's hash (docs/moving-users.md): so of n users about n times the fraction, and the
 * others get them by their shares of the ring. It is "about" since the hashes of these n users aren't looked at.
 */

/** Hundredths of a percent. */
export const WHOLE = 10_000;

/** Who takes users of others: active, with a weight, shedding nobody. */
export function takers(backends, name) {
  return backends.filter(
    (other) => other.name !== name && other.state === 'active' && other.weight > 0 && other.shed === 0,
  );
}

/**
 * @param backends as the API lists them
 * @param name of the one that sheds
 * @param shed hundredths of a percent that it is to shed
 * @returns `moved`: users that leave (below zero: that come back), `all`: of how many, null where that isn't known;
 * `to`: by name, how many come to each; `nowhere`: nobody can take them, so nobody moves
 */
export function previewShed(backends, name, shed) {
  const backend = backends.find((candidate) => candidate.name === name);
  const all = backend?.sessions ?? null;
  const taking = takers(backends, name);
  if (all === null) return { all, moved: null, to: {}, nowhere: taking.length === 0 };
  if (taking.length === 0) return { all, moved: 0, to: {}, nowhere: true };
  const moved = Math.round((all * (shed - backend.shed)) / WHOLE);
  const shares = taking.reduce((sum, { share }) => sum + share, 0);
  const to = taking.map((other) => {
    const part = shares > 0 ? other.share / shares : 1 / taking.length;
    return [other.name, Math.round(moved * part)];
  });
  return { all, moved, to: Object.fromEntries(to), nowhere: false };
}

/** Users stored on it that are answered with others now. */
export function awayPart({ name, state, shed }, backends) {
  if (state === 'active') return takers(backends, name).length === 0 ? 0 : shed / WHOLE;
  return backends.some((other) => other.name !== name && other.state === 'active' && other.weight > 0) ? 1 : 0;
}
