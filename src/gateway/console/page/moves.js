/**
 * How many users a change of what a backend sheds moves, and where to, before it is made. Pure.
 *
 * Who is shed is decided by bytes of the user's hash (docs/moving-users.md): so of n users about n times the fraction, and the
 * others get them by their shares of the ring. It is "about" since the hashes of these n users aren't looked at.
 */
import { counted, hundredths, number } from './format.js';

/** Hundredths of a percent. */
export const WHOLE = 10_000;

/** Named in words; the others are counted. */
const TARGETS_MAX = 4;

/** Who takes users of others: active, with a weight, shedding nobody. */
export function takers(backends, name) {
  return placing(backends, name).filter(({ shed }) => shed === 0);
}

/** With whom new users are placed: active, with a weight. */
function placing(backends, name) {
  return backends.filter((other) => other.name !== name && other.state === 'active' && other.weight > 0);
}

/** Whether another backend would answer the users of this one, were it draining or down; if none would, they stay, and new users are answered with none. */
export function canLeave(backends, name) {
  return placing(backends, name).length > 0;
}

/** The part of a backend's stored users who are answered with others now. */
export function awayPart({ name, state, shed }, backends) {
  if (state === 'active') return takers(backends, name).length === 0 ? 0 : shed / WHOLE;
  return canLeave(backends, name) ? 1 : 0;
}

/**
 * Who leaves a backend goes to takers, whichever it is: one that is left takes nobody.
 * @returns of those who are shed, and of those who have to leave, the part that goes to each, by name: these go to one that sheds rather than stay
 */
function targetsOf(backends) {
  const shed = partsOf(takers(backends));
  return { shed, leave: shed.size > 0 ? shed : partsOf(placing(backends)) };
}

function partsOf(backends) {
  const shares = backends.reduce((sum, { share }) => sum + share, 0);
  return new Map(backends.map(({ name, share }) => [name, shares > 0 ? share / shares : 1 / backends.length]));
}

/** The part of those who go by `before` who go elsewhere by `after`; where nobody takes them they stay. */
function changed(before, after) {
  if (before.size === 0 || after.size === 0) return before.size === after.size ? 0 : 1;
  return [...after].reduce((sum, [name, part]) => sum + Math.max(0, part - (before.get(name) ?? 0)), 0);
}

/** By name, how many users are answered with each. */
function answeredWith(backends, targets) {
  const pools = { shed: 0, leave: 0 };
  const users = new Map();
  for (const { name, state, shed, sessions } of backends) {
    const pool = state === 'active' ? 'shed' : 'leave';
    const away = targets[pool].size === 0 ? 0 : (sessions ?? 0) * (state === 'active' ? shed / WHOLE : 1);
    pools[pool] += away;
    users.set(name, (sessions ?? 0) - away);
  }
  for (const [pool, count] of Object.entries(pools))
    for (const [name, part] of targets[pool]) users.set(name, users.get(name) + count * part);
  return users;
}

/**
 * @param backends as the API lists them
 * @param name of the active one that sheds
 * @param shed hundredths of a percent that it is to shed
 * @returns `all`: users stored on it; `own`: of them, who leave (below zero: who come back); `others`: users stored elsewhere
 * whose answer changes too, since one that begins to shed takes nobody, and one that ends it takes users again; null each where it
 * isn't known; `to`: by name, where its own go; `gains`: by name, how many more are answered with it than now (below
 * zero: fewer); `nowhere`: nobody can take its own, so none of them moves
 */
export function previewShed(backends, name, shed) {
  const backend = backends.find((candidate) => candidate.name === name);
  // Removed meanwhile.
  if (backend === undefined) return { all: null, own: null, others: null, to: {}, gains: {}, nowhere: true };
  const then = backends.map((each) => (each === backend ? { ...each, shed } : each));
  const [before, after] = [targetsOf(backends), targetsOf(then)];
  const parts = { shed: changed(before.shed, after.shed), leave: changed(before.leave, after.leave) };
  let others = 0;
  for (const { name: other, state, shed: fraction, sessions } of backends) {
    const part = state === 'active' ? (fraction / WHOLE) * parts.shed : parts.leave;
    if (other !== name && part > 0) others = others === null || sessions === null ? null : others + sessions * part;
  }
  const taking = partsOf(takers(backends, name));
  const all = backend.sessions;
  const own = all === null ? null : taking.size === 0 ? 0 : Math.round((all * (shed - backend.shed)) / WHOLE);
  const was = answeredWith(backends, before);
  const gains = [...answeredWith(then, after)].map(([each, users]) => [each, Math.round(users - was.get(each))]);
  return {
    all,
    own,
    others: others === null ? null : Math.round(others),
    to: Object.fromEntries([...taking].map(([each, part]) => [each, Math.round(part * (own ?? 0))])),
    gains: Object.fromEntries(gains),
    nowhere: taking.size === 0,
  };
}

/** What `previewShed` says, in words. */
export function previewText(backends, name, shed) {
  const { all, own, others, to, nowhere } = previewShed(backends, name, shed);
  if (own === null || others === null) return 'The sessions aren’t counted yet.';
  const now = backends.find((backend) => backend.name === name).shed;
  if (shed === now && now > 0) return `It sheds ${hundredths(shed)} now.`;
  if (shed === now) return `None of its ${counted(all, 'user')} moves.`;
  const besides = othersText(others, now === 0);
  if (nowhere && besides === '') return 'No other backend takes users: nobody would move.';
  if (nowhere) return `No other backend takes users: none of its own moves.${besides}`;
  if (own < 0) return `About ${counted(-own, 'user')} of ${number(all)} come back to it.${besides}`;
  return `About ${counted(own, 'user')} of ${number(all)} will move: ${listed(to)}.${besides}`;
}

function othersText(others, begins) {
  if (others === 0) return '';
  const users = `Besides, about ${counted(others, 'user')} of other backends`;
  return begins
    ? ` ${users} are no longer answered with it: one that sheds takes nobody.`
    : ` ${users} are answered with it: it takes users again.`;
}

function listed(to) {
  const targets = Object.entries(to).sort(([, a], [, b]) => b - a);
  const shown = targets.slice(0, TARGETS_MAX).map(([name, users]) => `${name} ${number(users)}`);
  const more = targets.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
