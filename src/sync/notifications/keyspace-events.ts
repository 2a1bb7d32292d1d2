/**
 * Keyspace notifications of Redis: the channels, and the setting `notify-keyspace-events` that makes Redis send them
 * (Redis documentation, "Redis keyspace notifications"). Pure. May be imported by every floor above.
 */

/** The setting, as CONFIG GET and CONFIG SET name it. */
export const EVENTS_SETTING = 'notify-keyspace-events';

/**
 * What sessions of every form need: K, channels named by key; g, commands of any type, as DEL and EXPIRE; $ strings; h hashes;
 * x expired; e evicted. And what the tables need: h; z sorted sets.
 */
const NEEDED = 'Kg$hzxe';
/** A stands for all of these. */
const ALL_CLASSES = 'g$lshzxetd';

/** @param flags value of the setting @returns those that are needed and not there; '' where nothing is missing */
export function missingEvents(flags: string): string {
  const there = flags.includes('A') ? flags + ALL_CLASSES : flags;
  return [...NEEDED].filter((flag) => !there.includes(flag)).join('');
}

/** @returns the setting with what is missing added; what is there stays */
export function withNeededEvents(flags: string): string {
  return flags + missingEvents(flags);
}

/** @param database number of the database @returns what the name of a key's channel begins with */
export function channelPrefix(database: number): string {
  return `__keyspace@${database}__:`;
}
