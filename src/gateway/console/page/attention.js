/** What in the gateway's figures an operator should see to, the worst first, each with what to do. Pure. */
import { compact, date, duration, number, percent } from './format.js';

const FULL = 0.9;
const KEY_ENDS_MS = 14 * 86_400_000;

/** @returns of each its level, bad or warn, its text, and a remedy */
export function attention(status, nowMs) {
  return [
    ...readiness(status),
    ...redis(status),
    ...room(status),
    ...tables(status),
    ...attachment(status),
    ...keys(status, nowMs),
  ].sort((a, b) => Number(b.level === 'bad') - Number(a.level === 'bad'));
}

/** What of lookups while the daemon is away. @param status the last one; undefined where there was none */
export function meanwhile(status) {
  if (status === undefined) return 'Whether lookups are answered meanwhile isn’t known here.';
  const isInKernel = status.interfaces.some(({ mode }) => mode !== 'none' && mode !== 'missing');
  return isInKernel ? 'The kernel goes on answering lookups.' : 'Nothing answers lookups on this machine meanwhile.';
}

const bad = (text, remedy) => ({ level: 'bad', text, remedy });
const warn = (text, remedy) => ({ level: 'warn', text, remedy });

function readiness({ ready, sync }) {
  if (ready) return [];
  const loaded = sync.resync === null ? '' : ` ${number(sync.resync.sessions)} sessions are in.`;
  return [warn(`The first load isn’t finished.${loaded}`, 'Load balancers ask another gateway meanwhile.')];
}

function* redis({ ready, sync, ageMs, staleAfterMs }) {
  if (ready && sync.state !== 'connecting' && ageMs !== null && ageMs > staleAfterMs)
    yield bad(
      `Lookups are answered from ${duration(ageMs)} ago, and marked as stale.`,
      'Load balancers ask a fresher gateway, if there is one. See “gateway doctor” for what keeps the feed.',
    );
  if (sync.state === 'connecting') {
    const since = ageMs === null ? '' : ` Lookups are answered from ${duration(ageMs)} ago.`;
    const last = sync.lastError === null ? '' : ` (${sync.lastError.message})`;
    yield bad(`Redis can’t be reached${last}.${since}`, 'See that Redis runs, and section redis of the configuration.');
  }
  const missing = sync.notifications?.missing;
  if (missing) yield bad(`Redis doesn’t send ${missing}.`, 'Run “gateway doctor” on this machine; it can set it.');
}

function* room({ sessions, capacity, refused }) {
  if (sessions >= capacity * FULL)
    yield bad(`The table is ${percent(sessions / capacity)} full.`, 'Raise sessions.capacity and restart the gateway.');
  if (refused > 0)
    yield warn(
      `${number(refused)} sessions were refused since the table was made.`,
      'It was full: raise sessions.capacity.',
    );
}

function* tables({ sync: { backends } }) {
  if (backends.known === 0)
    yield bad('No backend is known: no session is found.', 'Add one: gateway backend set NAME --id N --address A');
  for (const { name, message } of backends.faults.slice(0, 3))
    yield bad(`The entry of backend ${name} is wrong: ${message}.`, 'Write it anew with “gateway backend set”.');
  for (const { name, records } of backends.unknown.slice(0, 3))
    yield warn(
      `${compact(records)} sessions name ${name}, which is no backend.`,
      'Add it, or let the application store them anew.',
    );
}

function* attachment({ interfaces, addresses }) {
  for (const { name, mode } of interfaces) {
    if (mode === 'missing')
      yield bad(`Interface ${name} is missing: nothing is answered on it.`, 'It is tried again every second.');
    if (mode === 'generic')
      yield warn(
        `Interface ${name} has generic XDP, which costs more a packet.`,
        'See “gateway doctor” for the driver.',
      );
  }
  if (interfaces.length > 0 && addresses.length === 0)
    yield bad('The interfaces have no address: nothing is answered.', 'Give them one, or set listen.addresses.');
}

function* keys({ keys: list }, nowMs) {
  if (list.length === 0) yield bad('There is no key: nobody can ask.', 'Make one with “gateway keys new”, and reload.');
  for (const { id, name, notAfterMs } of list) {
    if (notAfterMs === null) continue;
    const leftMs = notAfterMs - nowMs;
    if (leftMs <= 0)
      yield warn(`Key ${id} ${name} ended on ${date(notAfterMs)}.`, 'Take it out of the key file and reload.');
    else if (leftMs < KEY_ENDS_MS)
      yield warn(`Key ${id} ${name} ends in ${duration(leftMs)}.`, 'Hand out its successor before that.');
  }
}
