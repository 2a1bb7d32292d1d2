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

const is = (wanted: string) => (value: unknown) => value === wanted;

export const UNAVAILABLE: readonly Unavailable[] = [
  { path: ['sessions', 'onMiss'], asksForIt: is('ask-redis'), allowed: 'answer' },
];
