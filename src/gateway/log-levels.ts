/**
 * The levels of the log, apart from what writes it: the command line names them without loading that.
 * May be imported by src/gateway only.
 */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
