/**
 * `gateway deny` and `gateway allow`: revocation of single sessions. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { durationMs } from './arguments.ts';
import { addCommand, type ConfigOption, type JsonOption, print, printJson, withSessionId } from './common.ts';
import { withDirectory } from './directory.ts';
import { readSessionId } from './session-id.ts';

interface DenyOptions extends ConfigOption, JsonOption {
  readonly for?: number;
}

export function addRevoking(program: Command): void {
  const deny = addCommand(program, 'deny', {
    description: 'Revoke a session: every gateway answers DENIED, also where it is not stored, or is stored again.',
    notes: 'Needs no daemon. Redis is given the session id\'s hash, not the id. "gateway allow" takes it back.',
    example: 'printf %s "$SID" | gateway deny - --for 1h',
  });
  withSessionId(deny)
    .option('--for <duration>', 'for how long, as 90s, 15m, 1h, 1h30m or 7d (without it for good)', durationMs)
    .action(async (argument: string, { config, json, for: forMs = undefined }: DenyOptions) => {
      const { deniedUntil } = await import('../denied-until.ts');
      const sid = await readSessionId(argument, process.stdin);
      const untilMs = deniedUntil(Date.now(), forMs ?? null);
      await withDirectory(config, (directory) => directory.denySession(sid, untilMs));
      if (json) printJson({ untilMs });
      else
        print(`the session is denied ${forMs === undefined ? 'for good' : `until ${new Date(untilMs).toISOString()}`}`);
    });

  const allow = addCommand(program, 'allow', {
    description: 'Take back that a session is revoked.',
    notes: 'Needs no daemon.',
    example: 'printf %s "$SID" | gateway allow -',
  });
  withSessionId(allow).action(async (argument: string, { config, json }: ConfigOption & JsonOption) => {
    const sid = await readSessionId(argument, process.stdin);
    await withDirectory(config, (directory) => directory.denySession(sid, 0));
    if (json) printJson({ untilMs: 0 });
    else print('the session is allowed');
  });
}
