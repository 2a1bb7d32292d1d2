/** What the gateway's events say, in words. Pure. */
import { counted, hundredths } from './format.js';

const NAMES_MAX = 3;

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
