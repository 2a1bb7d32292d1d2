/** What the gateway's events say, in words. Pure. */
import { counted, duration, hundredths, seconds } from './format.js';

const NAMES_MAX = 3;
/** A gateway says how it is every two seconds. */
const SILENT_MS = 8_000;
/** What is known of another's clock may be wrong by two of these, and a little. */
const CLOCK_MS = 6_000;

const STATES = {
  connecting: 'Redis is out of reach: it is tried again.',
  loading: 'The first load is under way.',
  resyncing: 'Everything is read again from Redis.',
  following: 'In step with Redis.',
};

/** @param before the backends as they were known. @returns undefined where it isn't worth a line */
export function eventText(type, data, before) {
  switch (type) {
    case 'state':
      return STATES[data.state];
    case 'backends':
      return backendsText(data, before);
    case 'denied':
      return `${counted(data.changes, 'session')} denied or allowed again.`;
    case 'fact':
      return `A fact is ${data.hex === null ? 'removed' : 'set'} (name’s hash ${data.nameHash.slice(0, 8)}…).`;
    case 'lost':
      return `${counted(data.events, 'event')} left out: this page was too slow.`;
    default:
      return undefined;
  }
}

function backendsText({ names, others }, before) {
  const shown = names.slice(0, NAMES_MAX);
  const more = names.length - shown.length + others;
  const isNew = names.every((name) => !before.some((backend) => backend.name === name));
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}: ${isNew ? 'new here' : 'changed'}.`;
}

/** How a backend is, in a few words. */
export function stateText({ state, shed }) {
  if (state === 'draining') return 'draining';
  if (state === 'down') return 'down';
  return shed > 0 ? `sheds ${hundredths(shed)}` : 'active';
}

/** How a gateway of the fleet is: in which tone, in a few words, and what of its clock, null where that is right. */
export function gatewayText(member) {
  const { silentMs, clockAheadMs } = member;
  if (silentMs > SILENT_MS)
    return { kind: 'bad', word: `Silent for ${seconds(silentMs)}`, isSilent: true, clock: null };
  const [kind, word] = conditionOf(member);
  const isRight = clockAheadMs === null || Math.abs(clockAheadMs) <= CLOCK_MS;
  const clock = isRight
    ? null
    : `Its clock is ${duration(Math.abs(clockAheadMs))} ${clockAheadMs > 0 ? 'ahead' : 'behind'}`;
  return { kind: clock !== null && kind === 'good' ? 'warn' : kind, word, isSilent: false, clock };
}

function conditionOf({ ready, state }) {
  if (!ready) return ['warn', 'Loading'];
  if (state === 'connecting') return ['bad', 'Redis away'];
  return state === 'resyncing' ? ['warn', 'Reading again'] : ['good', 'Live'];
}
