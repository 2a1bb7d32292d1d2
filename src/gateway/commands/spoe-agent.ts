/**
 * `gateway spoe-agent`: the process beside HAProxy that asks gateways. May be imported by src/gateway only.
 */
import { type Command, Option } from 'commander';
import type { CookieTransformName } from '../../client/index.ts';
import { reasonOf } from '../errors.ts';
import { LOG_LEVELS, type LogLevel } from '../log-levels.ts';
import { hostPort } from './arguments.ts';
import { addCommand, type ConfigOption, integer } from './common.ts';

const HELP = 'gateway spoe-agent';
const DEFAULT_LISTEN = '127.0.0.1:9191';
const DEFAULT_TIMEOUT_MS = 20;
const TRANSFORMS: readonly CookieTransformName[] = ['express', 'raw', 'base64'];

interface SpoeAgentOptions extends ConfigOption {
  readonly server: readonly string[];
  readonly listen: string;
  readonly keys?: string;
  readonly key?: number;
  readonly cookie: string;
  readonly cookieTransform: CookieTransformName;
  readonly timeout: number;
  readonly logLevel: LogLevel;
}

export function addSpoeAgent(program: Command): void {
  addCommand(program, 'spoe-agent', {
    description: 'Answer HAProxy: for each request, which backend the session is on.',
    notes:
      'The log is on standard output, one JSON object a line. SIGHUP reads the key file again. Who can connect can ask where any session is: listen where only HAProxy reaches it.',
    example: 'gateway spoe-agent --server 192.0.2.1:6464 --server 192.0.2.2:6464 --keys keys.yaml',
    shared: ['config'],
  })
    .requiredOption('--server <host:port...>', 'gateways to ask')
    .option('--listen <host:port>', 'where HAProxy connects to', DEFAULT_LISTEN)
    .option('--keys <file>', 'key file (without it the one that the configuration names)')
    .option('--key <id>', 'id of the key to ask with; needed where the file has several', integer(1, 0xffff_ffff))
    .option('--cookie <name>', "name of the session's cookie", 'connect.sid')
    .addOption(
      new Option('--cookie-transform <name>', 'how the session id is in the cookie')
        .choices(TRANSFORMS)
        .default('express'),
    )
    .option(
      '--timeout <ms>',
      'longest time for a lookup, 1 to 60000 milliseconds',
      integer(1, 60_000),
      DEFAULT_TIMEOUT_MS,
    )
    .addOption(new Option('--log-level <level>', 'least severe lines to write').choices(LOG_LEVELS).default('info'))
    .action(async (options: SpoeAgentOptions) => {
      process.exit(await run(options));
    });
}

async function run(options: SpoeAgentOptions): Promise<number> {
  let reload: (() => void) | undefined;
  // From the beginning: a hang-up that nobody listens for ends the process.
  let isHungUp = false;
  process.on('SIGHUP', () => {
    if (reload === undefined) isHungUp = true;
    else reload();
  });
  const { loadConfig } = await import('../config.ts');
  const { createLogger } = await import('../log.ts');
  const { runUntilEnded } = await import('../lifecycle.ts');
  const { startSpoeAgent } = await import('../spoe/agent.ts');
  const { readClientKey } = await import('./client-key.ts');
  const servers = await Promise.all(options.server.map((text) => hostPort('--server', text, HELP)));
  const listen = await hostPort('--listen', options.listen, HELP);
  const keyFile = options.keys ?? loadConfig(options.config).keys;
  const log = createLogger(options.logLevel);
  const { cookie, cookieTransform, timeout: timeoutMs } = options;
  return await runUntilEnded(async (stops) => {
    const agent = await startSpoeAgent(
      {
        listen,
        cookie,
        client: { servers, cookieTransform, timeoutMs },
        readKey: () => readClientKey(keyFile, options.key),
      },
      log,
    );
    stops.push(() => agent.stop());
    reload = () => {
      agent.reloadKey().catch((error: unknown) => log.error({ problem: reasonOf(error) }, 'the former key stays'));
    };
    if (isHungUp) reload();
  }, log);
}
