/**
 * Asks the daemon that a configuration file belongs to. Imported by commands.
 */
import { loadConfig } from '../config.ts';
import { askDaemon, type ControlRequest } from './client.ts';

/** @param configFile as given with `-c` */
export function askConfigured(configFile: string | undefined, request: ControlRequest): Promise<unknown> {
  return askDaemon(loadConfig(configFile).control.socket, request);
}
