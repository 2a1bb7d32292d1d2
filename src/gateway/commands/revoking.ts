/**
 * `gateway deny` and `gateway allow`: revocation of single sessions. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { durationMs } from './arguments.ts';
import { type ConfigOption, type JsonOption, print, printJson, withConfig, withJson } from './common.ts';
import { withDirectory } from './directory.ts';
import { readSessionId } from './session-id.ts';

interface DenyOptions extends ConfigOption, JsonOption {
  readonly for?: number;
}

export function addRevoking(program: Command): void {
  withJson(withConfig(program.command('deny')))
    .description('Revoke a session: every gateway answers DENIED, also where it is not stored, or is stored again.')
    .argument('<sid>', 'session id; - reads it from standard input')
    .option('--for <duration>', 'for how long, as 90s, 15m, 1h, 1h30m or 7d (without it for good)', durationMs)
    .addHelpText(
      'after',
      `
Needs no daemon. Redis is given the session id's hash, not the id. "gateway allow" takes it back.

Example: printf %s "$SID" | gateway deny - --for 1h`,
    )
    .action(async (argument: string, { config, json, for: forMs = undefined }: DenyOptions) => {
      const { deniedUntil } = await import('../denied-until.ts');
      const sid = await readSessionId(argument, process.stdin);
      const untilMs = deniedUntil(Date.now(), forMs ?? null);
      await withDirectory(config, (directory) => directory.denySession(sid, untilMs));
      if (json) printJson({ untilMs });
      else
        print(`the session is denied ${forMs === undefined ? 'for good' : `until ${new Date(untilMs).toISOString()}`}`);
    });

  withJson(withConfig(program.command('allow')))
    .description('Take back that a session is revoked.')
    .argument('<sid>', 'session id; - reads it from standard input')
    .addHelpText('after', '\nNeeds no daemon.\n\nExample: printf %s "$SID" | gateway allow -')
    .action(async (argument: string, { config, json }: ConfigOption & JsonOption) => {
      const sid = await readSessionId(argument, process.stdin);
      await withDirectory(config, (directory) => directory.denySession(sid, 0));
      if (json) printJson({ untilMs: 0 });
      else print('the session is allowed');
    });
}
