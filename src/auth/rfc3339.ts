/**
 * Times as in RFC 3339, section 5.6. May be imported by every floor above.
 */

const DATE_TIME = /^(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/**
 * Unix ms of an RFC 3339 time; what is finer than a millisecond is cut off.
 * @returns undefined for anything else: no zone, a day or hour that doesn't exist, a leap second (Unix time has none)
 */
export function parseRfc3339(text: string): number | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null) return undefined;
  const [, date = '', time = '', fraction = '', sign, zoneHours = '0', zoneMinutes = '0'] = match;
  const wallClock = `${date}T${time}`;
  const ms = Date.parse(`${wallClock}Z`);
  // Date takes February 30 and 24:00:00 for the day after.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, wallClock.length) !== wallClock) return undefined;
  if (Number(zoneHours) > 23 || Number(zoneMinutes) > 59) return undefined;
  const zoneMs = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000;
  return ms + Number(fraction.slice(0, 3).padEnd(3, '0')) - (sign === '-' ? -zoneMs : zoneMs);
}
