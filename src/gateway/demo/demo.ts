/**
 * `gateway demo`: the whole product on one machine, in under a minute, with nothing left behind.
 */
import { Redis } from 'ioredis';
import * as acts from './acts.ts';
import { randomKey, Stage } from './stage.ts';

export interface DemoOptions {
  /** Leave it running until Ctrl-C. */
  keep: boolean;
  /** One JSON object of figures instead of the story. */
  json: boolean;
}

/** @returns exit status */
export async function runDemo({ keep, json }: DemoOptions): Promise<number> {
  const say = (line = ''): void => {
    if (!json) process.stdout.write(`${line}\n`);
  };
  if (process.geteuid?.() !== 0) {
    process.stderr.write('the demo needs root, for network namespaces and XDP programs: try again with sudo\n');
    return 1;
  }
  const interrupted = Promise.withResolvers<never>();
  const interrupt = (): void => interrupted.reject(new Interrupted());
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  interrupted.promise.catch(() => undefined);

  let stage: Stage | undefined;
  let redis: Redis | undefined;
  const facts: Record<string, unknown> = {};
  try {
    const startedMs = performance.now();
    const play = async (): Promise<void> => {
      say(
        'Two hosts, as network namespaces joined by a virtual cable; Redis and a gateway on one, a load balancer on the other.',
      );
      stage = new Stage({ name: `session-gateway-demo-${process.pid}` });
      const first = randomKey(1);
      const [key] = stage.writeKeys([first]);
      if (key === undefined) throw new Error('no key was made');
      await stage.startRedis();
      redis = new Redis({ path: stage.redisSocket, protocol: 2 });
      const { exitCode, stderr } = await stage.command('redis', 'install');
      if (exitCode !== 0) throw new Error(stderr);
      await acts.writeSessions(redis, say);
      await stage.startGateway();
      const status = await stage.status();
      const interfaces = status?.['interfaces'] as { name: string; mode: string }[];
      say(
        `  gateway attached to ${interfaces.map(({ name, mode }) => `${name} (${mode})`).join(', ')}, ${status?.['sessions']} sessions in the kernel`,
      );

      const demo: acts.Demo = { stage, redis, client: acts.clientFor(key, stage.port), say, facts };
      say('\nLookups, answered inside the kernel:');
      await acts.lookups(demo);
      say('\nWrites, seen through the feed:');
      await acts.writes(demo);
      say('\nForged packets:');
      await acts.forgeries(demo, key);
      say('\nKeys rotated under load:');
      await acts.rotation(demo, first);
      if (keep) {
        await keepRunning(stage, say, interrupted.promise);
      } else {
        say('\nThe daemon stopped:');
        await acts.daemonStopped(demo);
        facts['seconds'] = Number(((performance.now() - startedMs) / 1000).toFixed(1));
        say(`\nAll as promised, in ${facts['seconds']} s. Next: README.md, "Attach it to a real network card".`);
      }
      await demo.client.close();
    };
    await Promise.race([play(), interrupted.promise]);
    if (json) process.stdout.write(`${JSON.stringify(facts, null, 2)}\n`);
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return keep ? 0 : 1;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    if (stage !== undefined && stage.logTail() !== '')
      process.stderr.write(`the gateway's log ends with:\n${stage.logTail()}\n`);
    return 1;
  } finally {
    redis?.disconnect();
    await stage?.close();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, interrupt);
  }
}

class Interrupted extends Error {}

function keepRunning(stage: Stage, say: acts.Demo['say'], until: Promise<never>): Promise<never> {
  const onGateway = `nsenter --net=/run/netns/${stage.network.gatewayNamespace}`;
  const onClient = `nsenter --net=/run/netns/${stage.network.clientNamespace}`;
  say('\nIt goes on running until Ctrl-C. From another terminal, in this folder:');
  say(`  ${onGateway} bin/gateway status -c ${stage.configFile}`);
  say(`  ${onClient} bin/gateway lookup user-7 --server 10.99.0.2:${stage.port} --keys ${stage.keyFile}`);
  say(`  redis-cli -s ${stage.redisSocket} FCALL session_set 2 sess:me sessions:feed me app-2 3600000`);
  return until;
}
