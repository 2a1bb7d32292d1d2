/**
 * `gateway run`: the daemon. May be imported by src/gateway only.
 */
import { type Command, Option } from 'commander';
import { LOG_LEVELS, type LogLevel } from '../log-levels.ts';
import { addCommand, type ConfigOption } from './common.ts';

export function addRun(program: Command): void {
  addCommand(program, 'run', {
    description: 'Run the daemon: load the program or take it over, follow Redis, serve the control API.',
    notes:
      'The log is on standard output, one JSON object a line. SIGHUP reads the key file again. SIGTERM and SIGINT end the daemon; the kernel goes on answering until "gateway detach".',
    example: 'gateway run -c /etc/session-gateway/gateway.yaml',
    shared: ['config'],
  })
    .addOption(new Option('--log-level <level>', 'least severe lines to write').choices(LOG_LEVELS).default('info'))
    .action(async ({ config, logLevel }: ConfigOption & { logLevel: LogLevel }) => {
      const { loadConfig } = await import('../config.ts');
      const { createLogger } = await import('../log.ts');
      const { runDaemon } = await import('../daemon.ts');
      const status = await runDaemon(loadConfig(config), createLogger(logLevel));
      // Whatever a library still holds must not keep a stopped daemon alive.
      process.exit(status);
    });
}
