/**
 * `gateway lookup`: asks a gateway over UDP, as a load balancer would. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { Key } from '../../auth/keyring.ts';
import type { LookupResult } from '../../client/index.ts';
import { failure } from '../errors.ts';
import { hostPort } from './arguments.ts';
import { readClientKey } from './client-key.ts';
import { addCommand, type ConfigOption, integer, type JsonOption, print, printJson, withSessionId } from './common.ts';
import { readSessionId } from './session-id.ts';
import { duration } from './text.ts';

const DEFAULT_TIMEOUT_MS = 1_000;

interface LookupOptions extends ConfigOption, JsonOption {
  readonly server: string;
  readonly keys?: string;
  readonly key?: number;
  readonly timeout: number;
}

export function addLookup(program: Command): void {
  const command = addCommand(program, 'lookup', {
    description: 'Ask a gateway over UDP where a session belongs, as a load balancer would.',
    notes:
      "A gateway doesn't answer a request from its own machine, nor one that it can't authenticate. Exit status: 0 an answer came, 1 none.",
    example: 'printf %s "$SID" | gateway lookup - --server 192.0.2.1:6464 --keys keys.yaml',
  });
  withSessionId(command)
    .requiredOption('--server <host:port>', 'gateway to ask')
    .option('--keys <file>', 'key file (without it the one that the configuration names)')
    .option('--key <id>', 'id of the key to ask with; needed where the file has several', integer(1, 0xffff_ffff))
    .option(
      '--timeout <ms>',
      'longest wait for the answer, 1 to 60000 milliseconds',
      integer(1, 60_000),
      DEFAULT_TIMEOUT_MS,
    )
    .action(async (argument: string, options: LookupOptions) => {
      const sid = await readSessionId(argument, process.stdin);
      const result = await lookup(sid, options);
      if (options.json) printJson(result);
      else print(resultText(result));
    });
}

async function lookup(
  sid: string,
  { config, server, keys, key: keyId, timeout }: LookupOptions,
): Promise<LookupResult> {
  const { loadConfig } = await import('../config.ts');
  const address = await hostPort('--server', server, 'gateway lookup');
  const { createLookupClient } = await import('../../client/index.ts');
  const key = await readClientKey(keys ?? loadConfig(config).keys, keyId);
  const client = createLookupClient({ servers: [address], key, timeoutMs: timeout, tryTimeoutMs: timeout });
  try {
    const result = await client.lookup(sid);
    if (result.status === 'UNREACHABLE')
      throw failure('LOOKUP_FAILED', { server, reason: silence(result.reason, key) });
    return result;
  } finally {
    await client.close();
    key.wipe();
  }
}

function silence(reason: string, key: Key): string {
  if (reason === 'REFUSED')
    return 'nobody listens there, or it can not be reached; a gateway does not answer its own machine: ask from another one';
  const invalid = key.validAt(Date.now()) ? '' : ' (the key may not be used now)';
  return `none came in time; is the key in force there${invalid}, and this machine on the list of those who may ask?`;
}

/** One line that says it, and one with the rest. */
function resultText(result: LookupResult): string {
  const took = `${result.server}, ${result.elapsedMs.toFixed(2)} ms`;
  const age = result.ageMs === null ? 'never in step with Redis' : `in step with Redis ${duration(result.ageMs)} ago`;
  const rest = [took, age, ...(result.stale ? ['stale'] : [])].join(', ');
  if (result.status === 'CLOCK_SKEW') {
    return `CLOCK_SKEW  the gateway's clock is ${duration(Math.abs(result.skewMs))} ${result.skewMs > 0 ? 'ahead' : 'behind'}\n${took}`;
  }
  if (result.status === 'NOT_READY') return `NOT_READY  the gateway has not finished its first load\n${took}`;
  if (result.backend === null) return `${result.status}\n${rest}`;
  const port = result.port ?? 0;
  const host =
    result.address === null
      ? ''
      : result.address.includes(':')
        ? `[${result.address}]:${port}`
        : `${result.address}:${port}`;
  const how = [...(result.moved ? ['moved'] : []), ...(result.placed ? ['placed'] : [])];
  const expires = result.ttlSeconds === null ? 'never expires' : `expires in ${duration(result.ttlSeconds * 1_000)}`;
  return `${[result.status, `backend ${result.backend}`, host, ...how].filter((part) => part !== '').join('  ')}\n${
    result.placed ? '' : `${expires}, `
  }${rest}`;
}
