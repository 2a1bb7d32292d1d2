/**
 * `gateway completion`: what shells complete the command line with, made from the commands. May be imported by src/gateway only.
 */
import { Argument, type Command } from 'commander';
import type { BackendViews } from '../ports.ts';
import { addCommand, type ConfigOption, print } from './common.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** Who presses a key doesn't wait for longer. */
const BACKENDS_TIMEOUT_MS = 200;
/** Names that a shell could take for something else are left out, and so are more than anyone reads. */
const NAME = /^[\w.@%+-]{1,100}$/;
const NAMES_MAX = 1_000;

export function addCompletion(program: Command): void {
  addCommand(program, 'completion', {
    description: 'Print what makes a shell complete these commands, their options, and the names of backends.',
    notes: 'Names of backends are asked of the daemon; where it does not answer at once, none are completed.',
    example: [
      'gateway completion bash > /etc/bash_completion.d/gateway',
      'gateway completion zsh > /usr/local/share/zsh/site-functions/_gateway',
      'gateway completion fish > ~/.config/fish/completions/gateway.fish',
    ],
    shared: [],
  })
    .addArgument(new Argument('<shell>', 'which one').choices(SHELLS))
    .action(async (shell: Shell) => print(await script(shell, program)));

  const backends = program.command('complete-backends', { hidden: true });
  backends
    .description('Print the names of backends, for completion.')
    .option('-c, --config <file>', 'configuration file')
    .action(async ({ config }: ConfigOption) => {
      for (const name of await backendNames(config)) print(name);
    });
}

async function script(shell: Shell, program: Command): Promise<string> {
  const { completedCommands } = await import('../completion/tree.ts');
  const commands = completedCommands(program);
  switch (shell) {
    case 'bash':
      return (await import('../completion/bash.ts')).bashScript(commands);
    case 'zsh':
      return (await import('../completion/zsh.ts')).zshScript(commands);
    case 'fish':
      return (await import('../completion/fish.ts')).fishScript(commands);
  }
}

/** None where the daemon doesn't answer at once, for whatever reason. */
async function backendNames(configFile: string | undefined): Promise<string[]> {
  const { askDaemon } = await import('../control/client.ts');
  const { loadConfig } = await import('../config.ts');
  try {
    const { socket } = loadConfig(configFile).control;
    const answer = await askDaemon(socket, { method: 'GET', path: '/v1/backends' }, BACKENDS_TIMEOUT_MS);
    const { backends } = answer as BackendViews;
    return backends
      .map(({ name }) => name)
      .filter((name) => NAME.test(name))
      .slice(0, NAMES_MAX);
  } catch {
    return [];
  }
}
