/**
 * `gateway console`: the console in a browser on this machine, over the daemon's Unix socket. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { addCommand, type ConfigOption, integer, interruptible, type JsonOption, print, printJson } from './common.ts';

const TOKEN_BYTES = 32;

interface Options extends ConfigOption, JsonOption {
  readonly port: number;
}

export function addConsole(program: Command): void {
  addCommand(program, 'console', {
    description: 'Open a port on the loopback for the console, and print its address, until interrupted.',
    notes:
      'The address has a token that is made for this run; without it nobody on this machine gets past the empty page. From another machine: "ssh -L 6466:127.0.0.1:6466 HOST" and --port 6466. Where control.http is set, the console is there too, with the token of control.tokenFile.',
    example: 'gateway console --port 6466',
  })
    .option('--port <number>', 'port to listen on; 0 = one that is free', integer(0, 65_535), 0)
    .action(async ({ config, json, port }: Options) => {
      const { randomBytes } = await import('node:crypto');
      const { loadConfig } = await import('../config.ts');
      const { createForwarder } = await import('../console/forwarder.ts');
      const { askDaemon } = await import('../control/client.ts');
      const { Token } = await import('../control/token.ts');
      const { failure, reasonOf } = await import('../errors.ts');
      const { createLogger } = await import('../log.ts');
      const { socket } = loadConfig(config).control;
      await askDaemon(socket, { method: 'GET', path: '/healthz' });

      const token = randomBytes(TOKEN_BYTES).toString('hex');
      const app = createForwarder({
        socket,
        token: new Token(token),
        log: createLogger('warn', process.stderr),
      });
      const host = '127.0.0.1';
      await app.listen({ host, port }).catch((error: unknown) => {
        throw failure('CONSOLE_NOT_LISTENING', { host, port, reason: reasonOf(error) }, error);
      });
      const { port: bound } = app.server.address() as { port: number };
      // What is after # no browser sends to a server, so it is in no log.
      const address = `http://${host}:${bound}/console#token=${token}`;
      if (json) printJson({ address });
      else print(`${address}\nCtrl-C ends it.`);
      await interruptible(
        (signal) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
      );
      await app.close();
    });
}
