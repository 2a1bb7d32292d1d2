/**
 * A structured log line. May be imported by every floor above.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** @param event what happened, a fixed word such as `gap`; what varies is in `fields` */
export type Log = (level: LogLevel, event: string, fields: LogFields) => void;
