/**
 * `gateway doctor`. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { Check } from '../doctor/check.ts';
import type { InterfaceStatus, Status } from '../ports.ts';
import { type ConfigOption, type JsonOption, print, printJson, withConfig, withJson } from './common.ts';
import { printable, table } from './text.ts';

interface DoctorOptions {
  readonly setNotifications?: boolean;
}

export function addDoctor(program: Command): void {
  withJson(withConfig(program.command('doctor')))
    .description('Look whether the machine and Redis are as the gateway needs them, and say what to do.')
    .option(
      '--set-notifications',
      'add to notify-keyspace-events of Redis what is missing; without this nothing is changed anywhere',
    )
    .addHelpText(
      'after',
      `
Needs no daemon, but tells more where one runs. Exit status 1 if a check fails; a warning is no failure.

Example: gateway doctor --json | jq '.checks[] | select(.result != "ok")'`,
    )
    .action(async ({ config: file, json, setNotifications = false }: ConfigOption & JsonOption & DoctorOptions) => {
      const { loadConfig } = await import('../config.ts');
      const { redisAccess } = await import('../redis-access.ts');
      const { checkHost } = await import('../doctor/host.ts');
      const { checkRedis } = await import('../doctor/redis.ts');
      const config = loadConfig(file);
      const checks: Check[] = [
        ...checkHost(config, await attachedInterfaces(config.control.socket)),
        ...(await checkRedis({ config, access: redisAccess(config), setNotifications })),
      ];
      if (json) printJson({ checks });
      else print(checksText(checks));
      if (checks.some(({ result }) => result === 'fail')) process.exitCode = 1;
    });
}

/** What a running daemon says; undefined where none answers. */
async function attachedInterfaces(socket: string): Promise<readonly InterfaceStatus[] | undefined> {
  const { askDaemon } = await import('../control/client.ts');
  try {
    return ((await askDaemon(socket, { method: 'GET', path: '/v1/status' })) as Status).interfaces;
  } catch {
    return undefined;
  }
}

/** Each check, and below it what to do. */
export function checksText(checks: readonly Check[]): string {
  const rows = checks.map(({ name, result, found }) => [
    result === 'ok' ? 'ok' : result.toUpperCase(),
    name,
    printable(found),
  ]);
  const lines = table(rows).split('\n');
  const advised = lines.flatMap((line, i) => {
    const advice = checks[i]?.advice ?? null;
    return advice === null ? [line] : [line, `      ${printable(advice)}`];
  });
  return advised.join('\n');
}
