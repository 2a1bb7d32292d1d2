/**
 * `gateway run`: the daemon. May be imported by src/gateway only.
 */
import { type Command, Option } from 'commander';
import { LOG_LEVELS, type LogLevel } from '../log-levels.ts';
import { type ConfigOption, withConfig } from './common.ts';

export function addRun(program: Command): void {
  withConfig(program.command('run'))
    .description('Run the daemon: load the program or take it over, follow Redis, serve the control API.')
    .addOption(new Option('--log-level <level>', 'least severe lines to write').choices(LOG_LEVELS).default('info'))
    .addHelpText(
      'after',
      `
The log is on standard output, one JSON object a line. SIGHUP reads the key file again. SIGTERM and SIGINT end the daemon;
the kernel goes on answering until "gateway detach".

Example: gateway run -c /etc/session-gateway/gateway.yaml`,
    )
    .action(async ({ config, logLevel }: ConfigOption & { logLevel: LogLevel }) => {
      const { loadConfig } = await import('../config.ts');
      const { createLogger } = await import('../log.ts');
      const { runDaemon } = await import('../daemon.ts');
      const status = await runDaemon(loadConfig(config), createLogger(logLevel));
      // Whatever a library still holds must not keep a stopped daemon alive.
      process.exit(status);
    });
}
