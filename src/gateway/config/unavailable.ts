/**
 * Settings that the configuration file may name and this version cannot serve: they are refused at start, never ignored.
 * The part that builds one deletes its line here. Imported by ../config.ts alone.
 */

interface Unavailable {
  readonly path: readonly [string, ...string[]];
  /** Whether the value, as it stands in the file, asks for what is not there. */
  readonly asksForIt: (value: unknown) => boolean;
  readonly allowed: string;
}

const isSet = (value: unknown): boolean => value !== undefined && value !== null;
const is = (wanted: string) => (value: unknown) => value === wanted;

export const UNAVAILABLE: readonly Unavailable[] = [
  { path: ['listen', 'attach'], asksForIt: is('none'), allowed: 'auto, native, generic' },
  { path: ['redis', 'sentinel'], asksForIt: isSet, allowed: 'redis.url' },
  { path: ['redis', 'cluster'], asksForIt: isSet, allowed: 'redis.url' },
  { path: ['redis', 'tls'], asksForIt: isSet, allowed: 'null' },
  {
    path: ['redis', 'url'],
    asksForIt: (value) => typeof value === 'string' && /^rediss:/i.test(value),
    allowed: 'redis://',
  },
  { path: ['sessions', 'backend', 'in'], asksForIt: is('json'), allowed: 'hash' },
  { path: ['sessions', 'backend', 'in'], asksForIt: is('value'), allowed: 'hash' },
  { path: ['sessions', 'onMiss'], asksForIt: is('ask-redis'), allowed: 'answer' },
  { path: ['feed', 'from'], asksForIt: is('notifications'), allowed: 'stream' },
  { path: ['control', 'http'], asksForIt: isSet, allowed: 'null' },
  { path: ['control', 'tokenFile'], asksForIt: isSet, allowed: 'null' },
];
