/**
 * The command line: which commands there are, and how they end. Exit status 0 = done, 1 = failed, 2 = wrong usage or
 * configuration; errors go to standard error. Imported by main.ts and tests.
 */
import { Command, CommanderError } from 'commander';
import { addBackend } from './commands/backend.ts';
import { addBalance } from './commands/balance.ts';
import { addBench } from './commands/bench.ts';
import { addCompletion } from './commands/completion.ts';
import { addConsole } from './commands/console.ts';
import { addDemo } from './commands/demo.ts';
import { addDetach } from './commands/detach.ts';
import { addDoctor } from './commands/doctor.ts';
import { addFact } from './commands/fact.ts';
import { addKeys } from './commands/keys.ts';
import { addLookup } from './commands/lookup.ts';
import { addMoving } from './commands/moving.ts';
import { addRedis } from './commands/redis.ts';
import { addRevoking } from './commands/revoking.ts';
import { addRun } from './commands/run.ts';
import { addSettle } from './commands/settle.ts';
import { addSpoeAgent } from './commands/spoe-agent.ts';
import { addStatus } from './commands/status.ts';
import { addTop } from './commands/top.ts';
import { addTrace } from './commands/trace.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';
import { VERSION } from './version.ts';

const COMMANDS = [
  addRun,
  addStatus,
  addTop,
  addTrace,
  addKeys,
  addLookup,
  addBackend,
  addMoving,
  addSettle,
  addBalance,
  addRevoking,
  addFact,
  addRedis,
  addSpoeAgent,
  addConsole,
  addDoctor,
  addDetach,
  addCompletion,
  addDemo,
  addBench,
] as const;

/** @returns the exit status */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const program = commandLine();
  try {
    if (args.length === 0) throw failure('USAGE_INVALID', { problem: 'found no command', help: 'gateway' });
    await program.parseAsync([...args], { from: 'user' });
    // A command that ends without an error has set the status where it is another one.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // A group of commands without one of them: its help has been written to standard error.
    if (error instanceof CommanderError && error.code === 'commander.help') return 2;
    const found = asGatewayError(error, program, args);
    process.stderr.write(`gateway: ${found.code}: ${found.message}\n`);
    if (found.code === 'INTERNAL' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return found.exitStatus;
  }
}

/** The tree of commands, for whoever asks what there is. */
export function commandLine(): Command {
  const program = new Command('gateway')
    .description('Answers session lookups inside the Linux kernel, fed live from Redis.')
    .version(VERSION, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show what is allowed')
    .configureHelp({ showGlobalOptions: false })
    .addHelpText('after', '\nExit status: 0 done, 1 failed, 2 wrong usage or configuration.')
    .exitOverride()
    // Errors are written once, below, and all alike.
    .configureOutput({ outputError: () => undefined });
  for (const add of COMMANDS) add(program);
  return program;
}

function asGatewayError(error: unknown, program: Command, args: readonly string[]): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof CommanderError) {
    const problem = error.message.replace(/^error: /, '');
    return failure('USAGE_INVALID', { problem, help: pathOf(program, args) });
  }
  return failure('INTERNAL', { reason: reasonOf(error) }, error);
}

/** The command that the arguments begin with, as far as there is one. */
function pathOf(program: Command, args: readonly string[]): string {
  let command = program;
  let path = program.name();
  for (const name of args) {
    const next = command.commands.find((candidate) => candidate.name() === name);
    if (next === undefined) break;
    command = next;
    path += ` ${name}`;
  }
  return path;
}
